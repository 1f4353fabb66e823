//! How the far end checks a `UserSig`: by reading it. It shares no code with the function's signer.

use std::{collections::BTreeMap, io::Read};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::read::ZlibDecoder;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::{App, behaviour::Behaviour};

/// What a `UserSig` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// `TLS.identifier`.
    pub identifier: String,
    /// `TLS.sdkappid`.
    pub sdk_app_id: u64,
    /// `TLS.time`, Unix seconds.
    pub time: u64,
    /// `TLS.expire`, seconds from `time` on.
    pub expire: u64,
    /// `TLS.sig`.
    pub signature: String,
}

/// Reads a `UserSig`; gives `None` if it is none.
pub fn read(user_sig: &str) -> Option<Claims> {
    let zlib = BASE64_STANDARD.decode(user_sig.replace('*', "+").replace('-', "/").replace('_', "=")).ok()?;
    let mut text = String::new();
    ZlibDecoder::new(zlib.as_slice()).take(4096).read_to_string(&mut text).ok()?;
    let json: Value = serde_json::from_str(&text).ok()?;
    let number = |name| json.get(name).and_then(Value::as_u64);
    let string = |name| json.get(name).and_then(Value::as_str).map(str::to_owned);
    (json.get("TLS.ver")? == "2.0").then_some(())?;
    Some(Claims {
        identifier: string("TLS.identifier")?,
        sdk_app_id: number("TLS.sdkappid")?,
        time: number("TLS.time")?,
        expire: number("TLS.expire")?,
        signature: string("TLS.sig")?,
    })
}

/// Whether the claims were signed with this key.
pub fn is_signed_with(claims: &Claims, key: &str) -> bool {
    let lines = [
        format!("TLS.identifier:{}\n", claims.identifier),
        format!("TLS.sdkappid:{}\n", claims.sdk_app_id),
        format!("TLS.time:{}\n", claims.time),
        format!("TLS.expire:{}\n", claims.expire),
    ];
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map(|mac| mac.chain_update(lines.concat()));
    let claimed = BASE64_STANDARD.decode(&claims.signature).unwrap_or_default();
    mac.is_ok_and(|mac| mac.verify_slice(&claimed).is_ok())
}

/// Checks the query of a request at the time `now` (Unix seconds); `claims` are what its `usersig` says, if it is one.
///
/// # Errors
/// The behaviour that a refused request meets.
pub fn check(app: &App, query: &BTreeMap<String, String>, claims: Option<&Claims>, now: u64) -> Result<(), Behaviour> {
    let field = |name: &str| query.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let id = field("sdkappid").ok_or(Behaviour::NoAppId)?;
    if id != app.sdk_app_id.to_string() {
        return Err(Behaviour::UnknownApp);
    }
    field("usersig").ok_or(Behaviour::NoSignature)?;
    let claims = claims.ok_or(Behaviour::UnreadableSignature)?;
    if claims.sdk_app_id != app.sdk_app_id {
        return Err(Behaviour::SignedForAnotherApp);
    }
    if field("identifier") != Some(&claims.identifier) {
        return Err(Behaviour::SignedForAnotherIdentifier);
    }
    if !is_signed_with(claims, &app.key) {
        return Err(Behaviour::SignedWithAnotherKey);
    }
    if now >= claims.time.saturating_add(claims.expire) {
        return Err(Behaviour::Expired);
    }
    if claims.identifier != app.identifier {
        return Err(Behaviour::NotAnAdministrator);
    }
    Ok(())
}
