//! Certificate and key, and what they make of a connection (RFC 8310, 9325).
//!
//! TLS 1.2 and 1.3. A resumed session needs a ticket under a secret of this
//! process, never early data: what arrives twice would be answered twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio::io::BufWriter;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::config::{Identity, Tls};

/// Turns connections into TLS connections.
pub type Acceptor = TlsAcceptor;
/// A TLS connection. Records wait for a flush, and leave in one system call.
pub type Stream = tokio_rustls::server::TlsStream<BufWriter<TcpStream>>;

/// Certificate and key, ready to be used.
pub struct Keys {
    dot: Acceptor,
    https: Acceptor,
    path: Arc<str>,
    /// Of what they were made: sessions outlive a reload that changes neither.
    print: blake3::Hash,
}

/// Why a certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file that cannot be read.
    #[error("{path}: {source}; {advice}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// A file that does not hold what it should.
    #[error("{path}: {what}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A credential that systemd did not give.
    #[error(
        "the key is credential '{0}', but systemd gave none; add LoadCredential={0}:FILE to the unit, or name a file"
    )]
    NoCredential(String),
}

impl Keys {
    /// Reads certificate and key. `before` is kept if they are the same.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn load(tls: &Tls, before: Option<&Arc<Keys>>) -> Result<Arc<Keys>, KeysError> {
        let advice = "check 'certificate' and 'key' in [tls], and that the user of [server] may read both";
        let read =
            |path: &Path| fs::read(path).map_err(|source| KeysError::Unreadable { path: path.into(), source, advice });
        let key_path = match &tls.key {
            Identity::File(path) => path.clone(),
            Identity::Credential(name) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
                Some(directory) => Path::new(&directory).join(name),
                None => return Err(KeysError::NoCredential(name.clone())),
            },
        };
        let (chain, key) = (read(&tls.certificate)?, read(&key_path)?);
        let mut print = blake3::Hasher::new();
        for part in [&chain[..], &key, tls.path.as_bytes()] {
            print.update(&part.len().to_le_bytes()).update(part);
        }
        let print = print.finalize();
        if let Some(before) = before.filter(|before| before.print == print) {
            return Ok(before.clone());
        }
        let content = |path: &Path, what: String| KeysError::Content { path: path.into(), what };
        let certificates: Vec<CertificateDer> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, pem::Error>>()
            .map_err(|error| content(&tls.certificate, format!("this is not a PEM file ({error})")))?;
        if certificates.is_empty() {
            let what =
                "there is no certificate in it; it holds the server's own first, then those that lead to the root";
            return Err(content(&tls.certificate, what.into()));
        }
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| {
            content(&key_path, format!("there is no private key in it ({error}); it is a PEM file without a password"))
        })?;
        let config = |protocols: &[&[u8]]| {
            let unusable = |error: rustls::Error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    content(&key_path, format!("this is not the key of {}", tls.certificate.display()))
                }
                error => content(&tls.certificate, format!("it cannot be used with its key ({error})")),
            };
            let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_protocol_versions(&[&TLS13, &TLS12])
                .map_err(unusable)?
                .with_no_client_auth()
                .with_single_cert(certificates.clone(), key.clone_key())
                .map_err(unusable)?;
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            config.ticketer = Ticketer::new().map_err(unusable)?;
            Ok(TlsAcceptor::from(Arc::new(config)))
        };
        Ok(Arc::new(Keys {
            dot: config(&[b"dot"])?,
            https: config(&[b"h2", b"http/1.1"])?,
            path: tls.path.as_str().into(),
            print,
        }))
    }

    /// For DNS over TLS.
    pub fn dot(&self) -> Acceptor {
        self.dot.clone()
    }

    /// For HTTPS.
    pub fn https(&self) -> Acceptor {
        self.https.clone()
    }

    /// The path of questions over HTTPS.
    pub fn path(&self) -> Arc<str> {
        self.path.clone()
    }
}
