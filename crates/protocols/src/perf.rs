//! Perf, perf/perf.md: the client says how much it wants, uploads, finishes; only then the server sends that much.
//! [`Server`] and [`Client`] count what goes over one stream; neither holds a byte of it.

use carrick_wire::ProtocolId;

/// `/perf/1.0.0`
pub const PROTOCOL: ProtocolId = ProtocolId::from_static("/perf/1.0.0");

/// What stands before the uploaded bytes. Both forms have the same protocol id, so the two sides must be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// The specification's: the bytes to download, 8 bytes, big-endian. The upload ends where the client finishes.
    #[default]
    Spec,
    /// Of some benchmark programs: the bytes to upload, then those to download, 16 bytes. The upload may also end with
    /// the last byte that was announced.
    Sixteen,
}

/// What broke a measurement; its stream should be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PerfError {
    /// The stream ended inside the header.
    #[error("the stream ended after {received} bytes, inside the header")]
    NoHeader {
        /// Header bytes that did arrive.
        received: usize,
    },
    /// Fewer bytes came than were announced or asked for.
    #[error("{received} of {wanted} bytes came")]
    TooFew {
        /// Bytes that came.
        received: u64,
        /// Bytes that should have come.
        wanted: u64,
    },
    /// More bytes came than were announced or asked for.
    #[error("more than {wanted} bytes came")]
    TooMany {
        /// Bytes that should have come.
        wanted: u64,
    },
}

impl Header {
    /// The bytes that open a measurement.
    pub fn encode(self, upload: u64, download: u64) -> Vec<u8> {
        match self {
            Self::Spec => download.to_be_bytes().to_vec(),
            Self::Sixteen => [upload.to_be_bytes(), download.to_be_bytes()].concat(),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Spec => 8,
            Self::Sixteen => HEADER_MAX,
        }
    }
}

/// The serving side of one stream: header, upload, and only after its end the download.
#[derive(Debug)]
pub struct Server {
    header: Header,
    head: [u8; HEADER_MAX],
    filled: usize,
    received: u64,
}

impl Server {
    /// Expects this header.
    pub fn new(header: Header) -> Self {
        Self {
            header,
            head: [0; HEADER_MAX],
            filled: 0,
            received: 0,
        }
    }

    /// Takes received bytes; true once the upload is known to be whole, which without an announced size only
    /// [`finish`](Self::finish) can tell.
    ///
    /// # Errors
    /// More bytes than were announced.
    pub fn recv(&mut self, bytes: &[u8]) -> Result<bool, PerfError> {
        let missing = self.header.len() - self.filled;
        let (head, body) = bytes.split_at(bytes.len().min(missing));
        self.head[self.filled..self.filled + head.len()].copy_from_slice(head);
        self.filled += head.len();
        self.received = self.received.saturating_add(body.len() as u64);
        match self.announced() {
            Some(wanted) if self.received > wanted => Err(PerfError::TooMany { wanted }),
            Some(wanted) => Ok(self.received == wanted),
            None => Ok(false),
        }
    }

    /// Takes the end of the upload; the bytes that the client wants.
    ///
    /// # Errors
    /// The header is not whole, or fewer bytes came than were announced.
    pub fn finish(&self) -> Result<u64, PerfError> {
        if self.filled < self.header.len() {
            return Err(PerfError::NoHeader {
                received: self.filled,
            });
        }
        let received = self.received;
        match self.announced() {
            Some(wanted) if received < wanted => Err(PerfError::TooFew { received, wanted }),
            _ => Ok(self.number(self.header.len() - 8)),
        }
    }

    /// Bytes of the upload so far, without the header.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// How long the upload will be, if the client has said so.
    fn announced(&self) -> Option<u64> {
        (self.header == Header::Sixteen && self.filled == HEADER_MAX).then(|| self.number(0))
    }

    fn number(&self, at: usize) -> u64 {
        let mut number = [0; 8];
        number.copy_from_slice(&self.head[at..at + 8]);
        u64::from_be_bytes(number)
    }
}

/// The measuring side of one stream: counts the download.
#[derive(Debug)]
pub struct Client {
    wanted: u64,
    received: u64,
}

impl Client {
    /// Expects this many bytes.
    pub fn new(download: u64) -> Self {
        Self {
            wanted: download,
            received: 0,
        }
    }

    /// Takes received bytes.
    ///
    /// # Errors
    /// More bytes than were asked for.
    pub fn recv(&mut self, bytes: &[u8]) -> Result<(), PerfError> {
        let len = bytes.len() as u64;
        let wanted = self.wanted;
        if len > wanted - self.received {
            return Err(PerfError::TooMany { wanted });
        }
        self.received += len;
        Ok(())
    }

    /// Takes the end of the stream.
    ///
    /// # Errors
    /// Fewer bytes than were asked for.
    pub fn finish(&self) -> Result<(), PerfError> {
        let Self { received, wanted } = *self;
        if received < wanted {
            return Err(PerfError::TooFew { received, wanted });
        }
        Ok(())
    }
}

/// The longer header's bytes.
const HEADER_MAX: usize = 16;

#[cfg(test)]
mod tests;
