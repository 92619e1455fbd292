//! TLS, for those who run without a proxy that speaks it: 1.2 and later, HTTP/2 or HTTP/1.1.

use std::{fmt, io, sync::Arc, time::Duration};

use ::settings::{Need, Reader, Setting};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

const CERT_FILE: &str = "TLS_CERT_FILE";
const KEY_FILE: &str = "TLS_KEY_FILE";

/// A connection, encrypted or not.
pub(crate) type Wire = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A certificate and its key, read and ready.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// Reads both settings and the files they name: the outer `None` is a fault, the inner one means
    /// that connections are not encrypted here.
    #[expect(clippy::option_option, reason = "as the reader tells absence from a fault")]
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let certs = Setting {
            name: CERT_FILE,
            need: Need::Optional,
            expects: "the path of a PEM file with a chain of certificates",
            about: "serves TLS itself, with TLS_KEY_FILE; unset where a proxy does",
        };
        let certs = reader.maybe(certs, |path| {
            let certs: Vec<_> =
                CertificateDer::pem_file_iter(path).ok()?.collect::<Result<_, _>>().ok()?;
            (!certs.is_empty()).then_some(certs)
        });
        let key = Setting {
            name: KEY_FILE,
            need: Need::Optional,
            expects: "the path of a PEM file with a private key",
            about: "the key of TLS_CERT_FILE's first certificate",
        };
        let key = reader.maybe(key, |path| PrivateKeyDer::from_pem_file(path).ok());
        match (certs?, key?) {
            (None, None) => Some(None),
            (Some(certs), Some(key)) => match Self::new(certs, key) {
                Ok(tls) => Some(Some(tls)),
                Err(_mismatch) => reader.refuse(KEY_FILE, "must hold the key of TLS_CERT_FILE"),
            },
            (Some(_), None) => reader.refuse(KEY_FILE, "is required beside TLS_CERT_FILE"),
            (None, Some(_)) => reader.refuse(CERT_FILE, "is required beside TLS_KEY_FILE"),
        }
    }

    fn new(
        certs: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        // The versions that rustls speaks at all: 1.2 and 1.3.
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_no_client_auth().with_single_cert(certs, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Shakes hands, within the time that a client has to say what it speaks.
    pub(crate) async fn accept(&self, stream: TcpStream, max: Duration) -> io::Result<Wire> {
        let accepted = timeout(max, self.0.accept(stream)).await;
        let accepted = accepted.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?;
        accepted.map(|stream| Either::Right(Box::new(stream)))
    }
}

// Written by hand: what is within holds a key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}
