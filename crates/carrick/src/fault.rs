//! Errors that carry the behaviour they imply: a handler returns its error, and the node scores the peer for it.

use std::{any::Any, error::Error, fmt, io};

use carrick_swarm::Behaviour;

use crate::{StreamError, codec::CodecError};

/// An error, and what it says of the peer: whatever a handler may fail with.
///
/// Every error turns into one with `?`; which behaviour our own errors imply is known, and [`Because`] says it for others.
/// It is `Display`, but no `Error` itself: that is what lets `?` take everything.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::{Because, Behaviour, Fault, Node, Stream};
///
/// async fn number(mut stream: Stream) -> Result<(), Fault> {
///     let bytes = stream.read_to_end(20).await?; // more than 20 bytes are the peer's fault
///     let text = String::from_utf8(bytes.into()).because(Behaviour::Invalid)?;
///     let number: u32 = text.parse().because(Behaviour::Invalid)?;
///     println!("{number}");
///     Ok(())
/// }
///
/// let node = Node::builder().handle("/number/1.0.0", number).spawn().await?;
/// # Ok(())
/// # }
/// ```
pub struct Fault {
    error: Boxed,
    behaviour: Option<Behaviour>,
}

type Boxed = Box<dyn Error + Send + Sync>;

impl Fault {
    /// An error, or a text, that is the peer's fault.
    pub fn new(behaviour: Behaviour, error: impl Into<Boxed>) -> Self {
        Self {
            error: error.into(),
            behaviour: Some(behaviour),
        }
    }

    /// What it says of the peer; `None`: nothing.
    pub fn behaviour(&self) -> Option<Behaviour> {
        self.behaviour
    }

    /// What happened.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// Whatever a handler has returned; what is not ours implies nothing.
    pub(crate) fn of<E: fmt::Display + 'static>(error: E) -> Self {
        let mut whole = Some(error);
        let any: &mut dyn Any = &mut whole;
        if let Some(fault) = any.downcast_mut::<Option<Self>>() {
            return fault.take().unwrap_or_else(Self::unknown);
        }
        if let Some(boxed) = any.downcast_mut::<Option<Boxed>>() {
            return boxed.take().map_or_else(Self::unknown, Self::boxed);
        }
        let Some(error) = whole else {
            return Self::unknown();
        };
        Self {
            error: error.to_string().into(),
            behaviour: known(&error).and_then(implied),
        }
    }

    fn boxed(error: Boxed) -> Self {
        let behaviour = implied(&*error);
        Self { error, behaviour }
    }

    fn unknown() -> Self {
        Self {
            error: "an error without a text".into(),
            behaviour: None,
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::boxed(Box::new(error))
    }
}

/// So that `?` takes it in handlers that return a boxed error; the behaviour goes along.
impl From<Fault> for Boxed {
    fn from(fault: Fault) -> Self {
        Box::new(Blaming(fault))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("error", &self.error)
            .field("behaviour", &self.behaviour)
            .finish()
    }
}

/// Says what an error implies of the peer.
pub trait Because<T> {
    /// The same, but its error is the peer's fault.
    ///
    /// # Errors
    /// Those of `self`.
    fn because(self, behaviour: Behaviour) -> Result<T, Fault>;
}

impl<T, E: Into<Boxed>> Because<T> for Result<T, E> {
    fn because(self, behaviour: Behaviour) -> Result<T, Fault> {
        self.map_err(|error| Fault::new(behaviour, error))
    }
}

/// A fault within a boxed error.
#[derive(Debug)]
struct Blaming(Fault);

impl fmt::Display for Blaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Blaming {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.error.source()
    }
}

/// What an error, or what lies behind it, implies.
fn implied(error: &(dyn Error + 'static)) -> Option<Behaviour> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(Blaming(fault)) = error.downcast_ref() {
            return fault.behaviour;
        }
        if let Some(StreamError::TooLong { .. } | StreamError::EndedEarly) = error.downcast_ref() {
            return Some(Behaviour::Invalid);
        }
        if let Some(CodecError::Decode(_)) = error.downcast_ref() {
            return Some(Behaviour::Invalid);
        }
        // An error of `io` hides what it was made from.
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The error behind a type that says only that it can be shown, if it is one that may imply something.
fn known(error: &dyn Any) -> Option<&(dyn Error + 'static)> {
    let stream = error.downcast_ref::<StreamError>();
    let stream = stream.map(|error| error as &(dyn Error + 'static));
    let codec = error.downcast_ref::<CodecError>().map(|error| error as _);
    let io = error.downcast_ref::<io::Error>().map(|error| error as _);
    stream.or(codec).or(io)
}

#[cfg(test)]
mod tests;
