//! Records after the handshake.
