//! How a request is signed: Tencent's `TLSSigAPIv2`.

use std::io;

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;

/// Signs for `identifier` from `time` (Unix seconds) on, for `expire` seconds.
///
/// # Errors
/// When compressing fails, which memory does not do.
pub fn sign(key: &SecretString, sdk_app_id: u64, identifier: &str, time: u64, expire: u64) -> io::Result<SecretString> {
    // The key is its text, the hex digits as they stand.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).map_err(io::Error::other)?;
    let text =
        format!("TLS.identifier:{identifier}\nTLS.sdkappid:{sdk_app_id}\nTLS.time:{time}\nTLS.expire:{expire}\n");
    mac.update(text.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());

    let claims = json!({
        "TLS.ver": "2.0", "TLS.identifier": identifier, "TLS.sdkappid": sdk_app_id,
        "TLS.expire": expire, "TLS.time": time, "TLS.sig": signature,
    });
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut zlib, &claims)?;
    let text = BASE64_STANDARD.encode(zlib.finish()?);
    Ok(text.replace('+', "*").replace('/', "-").replace('=', "_").into())
}
