//! HTTP on loopback, whole or broken.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};

use crate::python::target;

/// A request that has arrived whole.
pub struct Received {
    /// Method, path and query.
    pub head: hyper::http::request::Parts,
    /// The body.
    pub body: Bytes,
    /// Which connection it came on, counted from 1.
    pub connection: usize,
    /// How many requests that connection had before.
    pub before: usize,
    /// Set it to break the connection while the answer is written.
    pub fault: Fault,
}

/// How a connection is broken while an answer is written on it.
#[derive(Clone, Default)]
pub struct Fault(Arc<Mutex<Option<Break>>>);

enum Break {
    At(Place),
    After(usize),
    Instead(Vec<u8>),
}

/// Where in an answer its connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before any byte.
    Start,
    /// The same, but it is reset (TCP's RST) and not only closed.
    Reset,
    /// In the middle of the status line.
    StatusLine,
    /// In the middle of the headers.
    Headers,
    /// After the empty line, before the body.
    Body,
    /// In the middle of the body.
    InBody,
    /// After the whole body, which does no harm.
    End,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Start, Self::Reset, Self::StatusLine, Self::Headers, Self::Body, Self::InBody, Self::End];

    /// How many bytes of `answer` come before it.
    fn bytes_of(self, answer: &[u8]) -> usize {
        let after = |mark: &[u8]| {
            let at = answer.windows(mark.len()).position(|bytes| bytes == mark);
            at.map_or(answer.len(), |at| at + mark.len())
        };
        let (line, head) = (after(b"\r\n"), after(b"\r\n\r\n"));
        match self {
            Self::Start | Self::Reset => 0,
            Self::StatusLine => line / 2,
            Self::Headers => line.midpoint(head),
            Self::Body => head,
            Self::InBody => head.midpoint(answer.len()),
            Self::End => answer.len(),
        }
    }
}

/// A connection that can be reset.
trait Reset {
    /// Has it end with TCP's RST when it is dropped.
    fn reset(&self);
}

impl Reset for TcpStream {
    fn reset(&self) {
        // If that fails it is only closed: the client's connection is gone all the same.
        let _ = self.set_zero_linger();
    }
}

impl Reset for TlsStream<TcpStream> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

impl Fault {
    /// Breaks the connection at this place of the answer.
    pub fn break_at(&self, place: Place) {
        *lock(&self.0) = Some(Break::At(place));
    }

    /// Cuts the connection once `bytes` of the answer have been written; 0 is before any.
    pub fn cut_after(&self, bytes: usize) {
        *lock(&self.0) = Some(Break::After(bytes));
    }

    /// Writes `bytes` instead of an answer, then cuts the connection.
    pub fn write_instead(&self, bytes: &[u8]) {
        *lock(&self.0) = Some(Break::Instead(bytes.to_vec()));
    }
}

/// A server on `127.0.0.1`; it ends when it is dropped, and its connections with it.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    traffic: Arc<Mutex<Traffic>>,
    task: JoinHandle<()>,
}

/// What has reached a server, and when.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// The connections that were made, in the order in which they were ready.
    pub connections: Vec<Connected>,
    /// The requests that were answered, in the order of their answers.
    pub requests: Vec<Answered>,
}

/// A connection that was made.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    /// When it was accepted.
    pub at: Instant,
    /// When it was ready for a request: after TLS's handshake, if there is one.
    pub ready: Instant,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// When it had arrived whole.
    pub at: Instant,
    /// When its answer was there to be written.
    pub answered: Instant,
}

impl Server {
    /// What has reached it since it was asked this last.
    pub fn take_traffic(&self) -> Traffic {
        std::mem::take(&mut *lock(&self.traffic))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves on `127.0.0.1:port` (0: any free one), over TLS if `tls` is given.
///
/// # Errors
/// When the port is taken.
pub async fn serve<F, A>(port: u16, tls: Option<TlsAcceptor>, answer: F) -> io::Result<Server>
where
    F: Fn(Received) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    let traffic = Arc::<Mutex<Traffic>>::default();
    let shared = Arc::clone(&traffic);
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        for connection in 1.. {
            let Ok((stream, _)) = listener.accept().await else { break };
            // As any server does: or what follows TLS's handshake waits for the client's word. If that fails it is slow.
            let _ = stream.set_nodelay(true);
            let (tls, answer, traffic, at) = (tls.clone(), answer.clone(), Arc::clone(&shared), Instant::now());
            connections.spawn(async move {
                let ready = || lock(&traffic).connections.push(Connected { at, ready: Instant::now() });
                let Some(tls) = tls else {
                    ready();
                    return talk(connection, stream, answer, &traffic).await;
                };
                // A client that does not trust us says so itself.
                if let Ok(stream) = tls.accept(stream).await {
                    ready();
                    talk(connection, stream, answer, &traffic).await;
                }
            });
        }
    });
    Ok(Server { address, traffic, task })
}

/// Sleeps until `due`, to some 0.1 ms: Tokio's own timer knows whole milliseconds only.
pub async fn sleep_until(due: Instant) {
    let left = move || due.saturating_duration_since(Instant::now());
    let most = left().saturating_sub(Duration::from_millis(2));
    // Of no time at all it would make up to a millisecond.
    if !most.is_zero() {
        tokio::time::sleep(most).await;
    }
    if !left().is_zero() {
        // That thread does not panic.
        let _ = tokio::task::spawn_blocking(move || std::thread::sleep(left())).await;
    }
}

/// Answers the requests of one connection.
async fn talk<S, F, A>(connection: usize, stream: S, answer: F, traffic: &Mutex<Traffic>)
where
    S: AsyncRead + AsyncWrite + Reset + Unpin + Send + 'static,
    F: Fn(Received) -> A,
    A: Future<Output = Response<Full<Bytes>>>,
{
    let fault = Fault::default();
    let requests = AtomicUsize::new(0);
    let service = service_fn(|request: Request<Incoming>| {
        let (fault, before) = (fault.clone(), requests.fetch_add(1, Ordering::Relaxed));
        let answer = &answer;
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let at = Instant::now();
            let answer = answer(Received { head, body, connection, before, fault }).await;
            lock(traffic).requests.push(Answered { at, answered: Instant::now() });
            Ok::<_, hyper::Error>(answer)
        }
    });
    let stream = Breakable { stream, fault: fault.clone() };
    // An error here is a connection that broke, by our will or the client's.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A stream that breaks as its [`Fault`] says.
struct Breakable<S> {
    stream: S,
    fault: Fault,
}

impl<S: AsyncRead + Unpin> AsyncRead for Breakable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Reset + Unpin> AsyncWrite for Breakable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let fault = self.fault.clone();
        let mut fault = lock(&fault.0);
        if let Some(Break::At(place)) = *fault {
            // A short answer, as all of ours are, comes whole.
            *fault = Some(Break::After(place.bytes_of(buf)));
            if place == Place::Reset {
                self.stream.reset();
            }
        }
        let stream = Pin::new(&mut self.stream);
        let bytes = match &mut *fault {
            None | Some(Break::At(_)) => return stream.poll_write(cx, buf),
            Some(Break::After(left)) => buf.get(..(*left).min(buf.len())).unwrap_or_default(),
            Some(Break::Instead(bytes)) => bytes.as_slice(),
        };
        if bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let written = std::task::ready!(stream.poll_write(cx, bytes))?;
        match &mut *fault {
            Some(Break::After(left)) => {
                *left -= written;
                Poll::Ready(Ok(written))
            }
            Some(Break::Instead(bytes)) => {
                bytes.drain(..written);
                Poll::Ready(Ok(0))
            }
            None | Some(Break::At(_)) => Poll::Ready(Ok(written)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // All was written that was to be.
        let is_over = matches!(*lock(&self.fault.0), Some(Break::After(0)));
        Poll::Ready(if is_over { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) })
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A certificate for `localhost` and `127.0.0.1`, made once and kept below `target/`: gives the acceptor, and the file
/// that clients must trust (`SSL_CERT_FILE`).
///
/// # Errors
/// When it can neither be made nor read.
pub fn tls() -> io::Result<(TlsAcceptor, PathBuf)> {
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| target().join("tls").join(name));
    std::fs::create_dir_all(target().join("tls"))?;
    let lock = File::create(target().join("tls/lock"))?;
    lock.lock()?;
    if !key.exists() {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
    }
    let chain = vec![CertificateDer::from_pem_file(&certificate).map_err(io::Error::other)?];
    let key = PrivateKeyDer::from_pem_file(&key).map_err(io::Error::other)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    Ok((TlsAcceptor::from(Arc::new(config.map_err(io::Error::other)?)), certificate))
}

/// Locks, and goes on after a panic elsewhere: the failed test has its own message.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port of `127.0.0.1` that nothing listens on now.
///
/// # Errors
/// When there is none.
pub async fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}

/// Whether something listens there.
pub async fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}
