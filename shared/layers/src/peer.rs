//! Where a call comes from: the other end of the connection, or what a proxy of ours says of it.

use std::net::IpAddr;

use http::HeaderName;

use crate::Request;

/// Where Fly's proxy says it.
const FLY_CLIENT_IP: HeaderName = HeaderName::from_static("fly-client-ip");

/// The other end of the connection, as the server puts it on each request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer(pub IpAddr);

/// Whose word is taken on where a call comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Proxy {
    /// Nobody's: it is the other end of the connection.
    #[default]
    None,
    /// Fly's, which replaces whatever a client says in this header.
    Fly,
}

impl Proxy {
    /// Where a call comes from, as far as that can be known.
    pub(crate) fn address(self, request: &Request) -> Option<IpAddr> {
        let told = match self {
            Self::None => None,
            Self::Fly => request.headers().get(FLY_CLIENT_IP),
        };
        let told = told.and_then(|address| address.to_str().ok()?.trim().parse().ok());
        let peer = || request.extensions().get::<Peer>().map(|Peer(address)| *address);
        // IPv4 comes in over a socket of both kinds; it is one address all the same.
        told.or_else(peer).map(|address: IpAddr| address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use tonic::body::Body;

    use super::*;

    #[test]
    fn a_header_counts_where_only_a_proxy_of_ours_can_have_set_it() {
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert("fly-client-ip", "203.0.113.7".parse().unwrap());
        assert_eq!(Proxy::None.address(&request), None);
        request.extensions_mut().insert(Peer("::ffff:198.51.100.1".parse().unwrap()));
        assert_eq!(Proxy::None.address(&request), "198.51.100.1".parse().ok());
        assert_eq!(Proxy::Fly.address(&request), "203.0.113.7".parse().ok());
        request.headers_mut().insert("fly-client-ip", "nowhere".parse().unwrap());
        assert_eq!(Proxy::Fly.address(&request), "198.51.100.1".parse().ok());
    }
}
