//! A message of a few bytes, answered with as many or as few.

use bytes::Bytes;
use carrick::{
    codec::{Codec, CodecError, Raw},
    messages::Message,
};

#[derive(Clone, Debug)]
pub struct Word(pub Vec<u8>);

impl Message for Word {
    const CODE: u16 = 1;
    type Reply = Vec<u8>;
    type Codec = Raw;
}

impl Codec<Word> for Raw {
    fn encode(value: &Word) -> Result<Bytes, CodecError> {
        Self::encode(&value.0)
    }

    fn decode(bytes: Bytes) -> Result<Word, CodecError> {
        Self::decode(bytes).map(Word)
    }
}
