//! Where tonic meets the contract: what is decoded is checked in the same place.

use std::{error::Error, fmt, marker::PhantomData, sync::Arc};

use tonic::{
    Code, Status,
    codec::{BufferSettings, DecodeBuf, Decoder as Decode},
};
use tonic_prost::ProstEncoder;

use crate::{Check, check};

/// What a call reads into and writes from at first; most messages are smaller. tonic would take
/// 8 KiB for each, which calls that wait and streams that are quiet hold for nothing.
const BUFFER_BYTES: usize = 1024;

/// Messages of a stream that are sent together, as tonic does it.
const TOGETHER_BYTES_MAX: usize = 32 * 1024;

/// Encodes `T`, and decodes `U` and checks it; tonic's generated code uses it for every RPC.
///
/// A message that does not decode, or that breaks a rule, is an `INVALID_ARGUMENT` without text,
/// whose source is an [`Undecodable`] or an [`Invalid`](crate::Invalid): an outer layer completes
/// it. Answers have no rules, so that a client sees [`Undecodable`] only.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

/// Decodes `U` and checks it.
#[derive(Debug)]
pub struct Decoder<U>(PhantomData<U>);

/// Bytes that are not the message they should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Undecodable(prost::DecodeError);

// === impl Codec ===

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: prost::Message + Send + 'static,
    U: prost::Message + Default + Check + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Decoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Decoder(PhantomData)
    }
}

// === impl Decoder ===

impl<U> Decode for Decoder<U>
where
    U: prost::Message + Default + Check,
{
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let message = U::decode(bytes).map_err(|error| refused(Undecodable(error)))?;
        check(&message).map_err(refused)?;

        Ok(Some(message))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, TOGETHER_BYTES_MAX)
}

// === impl Undecodable ===

impl fmt::Display for Undecodable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the bytes are not the message of this call")
    }
}

impl Error for Undecodable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tonic's codec can only fail with a status; `rescue` completes it from its source"
)]
fn refused(error: impl Error + Send + Sync + 'static) -> Status {
    let mut status = Status::new(Code::InvalidArgument, "");
    status.set_source(Arc::new(error));
    status
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use prost::Message;
    use tonic::{Streaming, codec::Codec as _};

    use super::*;
    use crate::{
        Invalid,
        user::v1::{GetProfileRequest, Profile},
    };

    /// Decodes a request as the server does, from one frame.
    async fn decode(bytes: &[u8]) -> Result<GetProfileRequest, Status> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let frame = [&[0], &length[..], bytes].concat();
        let decoder = Codec::<Profile, GetProfileRequest>::default().decoder();
        let body = Full::new(Bytes::from(frame));
        Streaming::new_request(decoder, body, None, None).message().await.map(Option::unwrap)
    }

    #[tokio::test]
    async fn a_request_is_decoded_and_checked() {
        let request = GetProfileRequest { user_id: "u".to_owned() };
        assert_eq!(decode(&request.encode_to_vec()).await.unwrap(), request);

        let long = GetProfileRequest { user_id: "u".repeat(129) };
        let status = decode(&long.encode_to_vec()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, ""));
        let invalid = status.source().unwrap().downcast_ref::<Invalid>().unwrap();
        assert_eq!(invalid.0[0].field, "user_id");
    }

    #[tokio::test]
    async fn a_message_may_be_larger_than_what_it_is_read_into_at_first() {
        let long = GetProfileRequest { user_id: "u".repeat(BUFFER_BYTES * 3) };
        let status = decode(&long.encode_to_vec()).await.unwrap_err();
        assert!(status.source().unwrap().is::<Invalid>(), "it is read whole, and then refused");
    }

    #[tokio::test]
    async fn bytes_that_are_no_request_are_undecodable() {
        let status = decode(b"\xff").await.unwrap_err();

        assert_eq!(status.code(), Code::InvalidArgument);
        let source = status.source().unwrap().downcast_ref::<Undecodable>().unwrap();
        assert!(source.source().is_some());
    }
}
