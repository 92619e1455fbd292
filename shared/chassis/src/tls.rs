//! TLS, for those who run without a proxy that speaks it: 1.2 and later, HTTP/2 or HTTP/1.1.
//!
//! A certificate that is put in the place of the old one is taken on SIGHUP, for the handshakes from
//! then on.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use ::settings::{Need, Reader, Setting};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

const CERT_FILE: &str = "TLS_CERT_FILE";
const KEY_FILE: &str = "TLS_KEY_FILE";

/// A connection, encrypted or not.
pub(crate) type Wire = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A certificate and its key, read and ready.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    cert_file: PathBuf,
    key_file: PathBuf,
    /// Shakes the next hand.
    acceptor: RwLock<TlsAcceptor>,
}

/// Files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no chain of certificates.
    #[error("{CERT_FILE} holds no chain of certificates")]
    Certs(#[source] pem::Error),
    /// There is no private key.
    #[error("{KEY_FILE} holds no private key")]
    Key(#[source] pem::Error),
    /// Each is good, and they do not belong together.
    #[error("{KEY_FILE} does not hold the key of {CERT_FILE}")]
    Pair(#[source] rustls::Error),
}

impl Tls {
    /// Reads both settings and the files they name: the outer `None` is a fault, the inner one means
    /// that connections are not encrypted here.
    #[expect(clippy::option_option, reason = "as the reader tells absence from a fault")]
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let certs = Setting {
            name: CERT_FILE,
            need: Need::Optional,
            expects: "the path of a PEM file with a chain of certificates",
            about: "serves TLS itself, with TLS_KEY_FILE; both are read anew on SIGHUP; unset where a proxy does",
        };
        let certs = reader.maybe(certs, |path| Some((path.into(), certs_in(path.as_ref()).ok()?)));
        let key = Setting {
            name: KEY_FILE,
            need: Need::Optional,
            expects: "the path of a PEM file with a private key",
            about: "the key of TLS_CERT_FILE's first certificate",
        };
        let key =
            reader.maybe(key, |path| Some((path.into(), PrivateKeyDer::from_pem_file(path).ok()?)));
        match (certs?, key?) {
            (None, None) => Some(None),
            (Some((cert_file, certs)), Some((key_file, key))) => match acceptor(certs, key) {
                Ok(acceptor) => {
                    let acceptor = RwLock::new(acceptor);
                    Some(Some(Self(Arc::new(Shared { cert_file, key_file, acceptor }))))
                }
                Err(_mismatch) => reader.refuse(KEY_FILE, "must hold the key of TLS_CERT_FILE"),
            },
            (Some(_), None) => reader.refuse(KEY_FILE, "is required beside TLS_CERT_FILE"),
            (None, Some(_)) => reader.refuse(CERT_FILE, "is required beside TLS_KEY_FILE"),
        }
    }

    /// Reads both files anew. Connections that are there stay as they are, and all of them if the
    /// files are not good.
    pub(crate) fn renew(&self) -> Result<(), Error> {
        let certs = certs_in(&self.0.cert_file).map_err(Error::Certs)?;
        let key = PrivateKeyDer::from_pem_file(&self.0.key_file).map_err(Error::Key)?;
        let acceptor = acceptor(certs, key).map_err(Error::Pair)?;
        *self.0.acceptor.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    /// Shakes hands, for as long as the caller waits.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Wire> {
        let acceptor = self.0.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone();
        acceptor.accept(stream).await.map(|stream| Either::Right(Box::new(stream)))
    }
}

fn certs_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let certs: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
    if certs.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(certs) }
}

fn acceptor(
    certs: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    // The versions that rustls speaks at all: 1.2 and 1.3.
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_single_cert(certs, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

// Written by hand: what is within holds a key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}
