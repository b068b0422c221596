//! Questions to an upstream over TLS (RFC 7858): one connection that stays,
//! with many questions on it at once, answered in any order.
//!
//! The server is the one that the configuration names, by a name in its
//! certificate or by its key, or there is no answer. Nothing here ever speaks
//! in clear.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Failure;
use crate::config::TlsPeer;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// After which a connection without a question is closed (RFC 7858 section 3.4).
const IDLE: Duration = Duration::from_secs(15);
/// Questions on one connection; more wait.
const MOST: usize = 1000;

/// One server, and the connection to it.
pub(super) struct Line {
    address: SocketAddr,
    name: ServerName<'static>,
    connector: TlsConnector,
    home: Handle,
    current: Mutex<Option<mpsc::Sender<Call>>>,
}

/// A question that waits for its answer.
struct Call {
    question: Vec<u8>,
    answer: oneshot::Sender<Result<Vec<u8>, Failure>>,
}

impl Line {
    /// A server that proves to be `peer`; its connections live on `home`.
    ///
    /// # Errors
    /// A sentence: nothing certifies it.
    pub(super) fn new(address: SocketAddr, peer: &TlsPeer, home: &Handle) -> Result<Self, String> {
        let name = match &peer.name {
            Some(name) => ServerName::try_from(name.clone()).expect("checked with the configuration"),
            None => ServerName::from(address.ip()),
        };
        let connector = TlsConnector::from(client(peer)?);
        Ok(Line { address, name, connector, home: home.clone(), current: Mutex::default() })
    }

    /// Asks one question; the answer has the id of the question and is not
    /// looked at otherwise.
    pub(super) async fn ask(&self, question: &[u8]) -> Result<Vec<u8>, Failure> {
        // A server may close a connection at the very moment of a question:
        // that is no failure of the server, and is tried once more.
        for _ in 0..2 {
            let (answer, arrival) = oneshot::channel();
            let call = Call { question: question.to_vec(), answer };
            if self.connection().send(call).await.is_err() {
                continue;
            }
            match arrival.await {
                Ok(Ok(mut message)) if message.len() >= 2 => {
                    message[..2].copy_from_slice(&question[..2]);
                    return Ok(message);
                }
                Ok(Ok(_)) => return Err(Failure::Malformed),
                Ok(Err(failure)) => return Err(failure),
                Err(_) => {}
            }
        }
        Err(Failure::Network)
    }

    /// The connection that is there, or a new one.
    fn connection(&self) -> mpsc::Sender<Call> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = current.as_ref().filter(|there| !there.is_closed()) {
            return there.clone();
        }
        let (calls, queue) = mpsc::channel(MOST);
        let (address, name, connector) = (self.address, self.name.clone(), self.connector.clone());
        self.home.spawn(async move {
            match timeout(HANDSHAKE, connect(address, name, connector)).await {
                Ok(Ok(stream)) => drop(Talk::new(stream, queue).run().await),
                failed => refuse(queue, if failed.is_err() { Failure::Timeout } else { Failure::Network }).await,
            }
        });
        *current = Some(calls.clone());
        calls
    }
}

async fn connect(
    address: SocketAddr,
    name: ServerName<'static>,
    connector: TlsConnector,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    connector.connect(name, stream).await
}

/// Tells all who wait that there is no connection.
async fn refuse(mut queue: mpsc::Receiver<Call>, failure: Failure) {
    queue.close();
    while let Some(call) = queue.recv().await {
        drop(call.answer.send(Err(failure)));
    }
}

/// One connection from its first question to its end.
struct Talk {
    stream: TlsStream<TcpStream>,
    queue: mpsc::Receiver<Call>,
    /// Who waits, by the id of the question on this connection.
    waiting: HashMap<u16, oneshot::Sender<Result<Vec<u8>, Failure>>>,
    input: Vec<u8>,
    output: Vec<u8>,
    deadline: Instant,
}

impl Talk {
    fn new(stream: TlsStream<TcpStream>, queue: mpsc::Receiver<Call>) -> Self {
        let deadline = Instant::now() + IDLE;
        Talk { stream, queue, waiting: HashMap::new(), input: Vec::new(), output: Vec::new(), deadline }
    }

    /// Ends when the server does, or is silent. Whoever still waits then sees
    /// its way back closed, and asks on another connection.
    async fn run(mut self) -> io::Result<()> {
        loop {
            if !self.output.is_empty() {
                timeout(HANDSHAKE, async {
                    self.stream.write_all(&self.output).await?;
                    self.stream.flush().await
                })
                .await??;
                self.output.clear();
            }
            self.input.reserve(4096);
            tokio::select! {
                call = self.queue.recv(), if self.waiting.len() < MOST => {
                    let Some(call) = call else { return self.stream.shutdown().await };
                    self.call(call);
                    while self.waiting.len() < MOST && let Ok(call) = self.queue.try_recv() {
                        self.call(call);
                    }
                }
                read = timeout_at(self.deadline, self.stream.read_buf(&mut self.input)) => {
                    match read {
                        Ok(Ok(1..)) => self.answers(),
                        Ok(Ok(0)) => return Ok(()),
                        Ok(Err(error)) => return Err(error),
                        Err(_) => {
                            // Calls that come now find it closed.
                            self.queue.close();
                            return self.stream.shutdown().await;
                        }
                    }
                }
            }
        }
    }

    fn call(&mut self, mut call: Call) {
        // Those who have given up leave their places.
        if self.waiting.len() >= MOST / 2 {
            self.waiting.retain(|_, answer| !answer.is_closed());
        }
        let mut id = u16::from_be_bytes([call.question[0], call.question[1]]);
        while self.waiting.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        call.question[..2].copy_from_slice(&id.to_be_bytes());
        self.output.extend_from_slice(&(call.question.len() as u16).to_be_bytes());
        self.output.extend_from_slice(&call.question);
        self.waiting.insert(id, call.answer);
        self.deadline = Instant::now() + IDLE;
    }

    fn answers(&mut self) {
        let mut at = 0;
        while let Some((length, rest)) = self.input[at..].split_first_chunk() {
            let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length))) else { break };
            at += 2 + message.len();
            let id = message.first_chunk().map(|id| u16::from_be_bytes(*id));
            // What nobody asked is read over.
            if let Some(answer) = id.and_then(|id| self.waiting.remove(&id)) {
                drop(answer.send(Ok(message.to_vec())));
            }
        }
        self.input.drain(..at);
        self.deadline = Instant::now() + IDLE;
    }
}

/// What a client believes of this server.
///
/// # Errors
/// A sentence: nothing certifies it.
pub(super) fn client(peer: &TlsPeer) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    // Where a key is known and no name, nobody else is asked.
    let by_name = peer.name.is_some() || peer.pins.is_empty();
    let certified = match by_name {
        true => {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(peer)?), provider.clone());
            Some(builder.build().map_err(|error| {
                format!("nobody certifies upstreams over TLS ({error}); see 'authorities' in [upstream]")
            })?)
        }
        false => None,
    };
    let verifier = Verifier { certified, pins: peer.pins.clone(), provider: provider.clone() };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    config.resumption = Resumption::in_memory_sessions(4);
    Ok(Arc::new(config))
}

/// The authorities of a PEM file, or those of the system.
fn roots(peer: &TlsPeer) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &peer.authorities else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let failed =
        |error: &dyn std::fmt::Display| format!("{}: {error}; see 'authorities' in [upstream]", path.display());
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() { Err(failed(&"there is no certificate in it")) } else { Ok(roots) }
}

/// Both of what the configuration asks for: a name, and a key (RFC 8310
/// section 8, RFC 7858 section 4.2).
#[derive(Debug)]
struct Verifier {
    /// For a name, or for the address if nothing else is known.
    certified: Option<Arc<WebPkiServerVerifier>>,
    /// SHA-256 of the public keys that are known; any, if there are none.
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.pins.is_empty() {
            let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
            let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, &key);
            if !self.pins.iter().any(|pin| pin == digest.as_ref()) {
                return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
            }
        }
        match &self.certified {
            Some(certified) => certified.verify_server_cert(end_entity, intermediates, name, ocsp, now),
            // There are keys, and this is one of them.
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
