//! How a request goes over the network: HTTP with connections that are kept.

use futures_util::{FutureExt, future::BoxFuture};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderValue},
};

use super::{Carrier, Connection, Failure};
use crate::network::{Network, NetworkError};

/// Longest answer that is read, in bytes; one about 100 accounts has some 13,000.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// HTTP, to Tencent.
pub struct Http {
    pooled: Client,
    unpooled: Client,
}

impl Http {
    /// Connects when first used.
    ///
    /// # Errors
    /// When a client cannot be made.
    pub fn new(network: &Network) -> Result<Self, NetworkError> {
        Ok(Self { pooled: network.pooled(), unpooled: network.unpooled()? })
    }

    async fn post(&self, url: Url, body: Vec<u8>, connection: Connection) -> Result<Vec<u8>, Failure> {
        let client = match connection {
            Connection::Pooled => &self.pooled,
            Connection::New => &self.unpooled,
        };
        // The error goes no further than here: it has the URL in it, and the URL has the signature.
        let broken =
            |error: reqwest::Error| if error.is_connect() { Failure::NoConnection } else { Failure::Interrupted };
        let request = client.post(url).header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body);
        let response = request.send().await.map_err(broken)?;
        if response.status() != StatusCode::OK {
            return Err(Failure::Status(response.status().as_u16()));
        }
        read(response).await
    }
}

impl Carrier for Http {
    fn carry(&self, url: Url, body: Vec<u8>, connection: Connection) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        self.post(url, body, connection).boxed()
    }

    fn open(&self, url: Url) -> BoxFuture<'_, ()> {
        // Without a command it is no call: it costs nothing of the rate, and any answer will do.
        self.pooled.head(url).send().map(drop).boxed()
    }
}

/// Reads the whole body, as far as a true answer can go.
async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Failure::Unreadable("the answer was cut off"))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Failure::Unreadable("the answer is longer than 64 KiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
