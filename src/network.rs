//! How anything goes over the network: one TLS configuration, one set of trusted roots and one pool, for Tencent and AWS.

use std::sync::Arc;

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use reqwest::{Client, redirect::Policy};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The network cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There are no certificates in this file.
    #[error("SSL_CERT_FILE is {0:?}: must be a file with certificates in PEM")]
    Roots(String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A client cannot be made.
    #[error("no HTTP client can be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// The network, as far as it is the same for all.
#[derive(Clone)]
pub struct Network {
    tls: ClientConfig,
    pooled: Client,
}

impl Network {
    /// Trusts the roots of Mozilla that are compiled in, or else only those in the PEM file `SSL_CERT_FILE`.
    ///
    /// Connects when first used.
    ///
    /// # Errors
    /// When the file cannot be read, or TLS cannot be set up.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, NetworkError> {
        let roots = match lookup("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
            None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
            Some(file) => trusted(&file).ok_or(NetworkError::Roots(file))?,
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { pooled: client(&tls, usize::MAX)?, tls })
    }

    /// The client that keeps its connections.
    pub fn pooled(&self) -> Client {
        self.pooled.clone()
    }

    /// A client that opens a connection for each request.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn unpooled(&self) -> Result<Client, NetworkError> {
        Ok(client(&self.tls, 0)?)
    }

    /// The pool, as AWS's SDK calls it.
    pub fn for_aws(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(Connector(self.pooled()));
        http_client_fn(move |_, _| connector.clone())
    }
}

/// Redirects are not followed: they would carry a signature to another host.
fn client(tls: &ClientConfig, idle_connections: usize) -> Result<Client, reqwest::Error> {
    Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .pool_max_idle_per_host(idle_connections)
        .redirect(Policy::none())
        // Without the 0, a request is still cloned for the retry that never comes.
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(reqwest::Error::without_url)
}

fn trusted(file: &str) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read is of no use, and does no harm.
    roots.add_parsable_certificates(CertificateDer::pem_file_iter(file).ok()?.flatten());
    (!roots.is_empty()).then_some(roots)
}

/// The SDK signs, tries again and knows its time limits by itself: here a request only goes over the network.
#[derive(Debug)]
struct Connector(Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move { carry(&client, request).await })
    }
}

async fn carry(client: &Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let user = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
    let broken = |error: reqwest::Error| ConnectorError::io(error.without_url().into());
    let request = request.try_into_http1x().map_err(|error| user(error.into()))?;
    // All requests of ours are in memory.
    let request = request.map(|body| body.bytes().unwrap_or_default().to_vec());
    let request = request.try_into().map_err(|error: reqwest::Error| user(error.without_url().into()))?;
    let response = client.execute(request).await.map_err(broken)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut answer = HttpResponse::new(status.into(), SdkBody::from(response.bytes().await.map_err(broken)?));
    for (name, value) in &headers {
        answer.headers_mut().try_append(name.clone(), value.clone()).map_err(|error| user(error.into()))?;
    }
    Ok(answer)
}
