//! What is linked into a zip's binary, as `CycloneDX` tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    file,
    python::run,
    release::{Architecture, NAME, Place},
    sha256,
};

/// A package that is linked.
struct Package {
    name: String,
    version: String,
    licence: String,
    /// The packages that it calls, by their URLs.
    needs: BTreeSet<String>,
}

/// The bill of what is in `zip`: the packages that are linked, not those that only help to build or to test; and with
/// what it was built. It has neither time nor serial number, so that it is the same for the same zip.
///
/// # Errors
/// When Cargo does not tell, or a package has no hash in `Cargo.lock`.
pub async fn bill(place: &Place, architecture: Architecture, zip: &[u8]) -> io::Result<Value> {
    let mut tree = place.cargo();
    tree.args(["tree", "--locked", "--package", NAME, "--target", architecture.target()]);
    tree.args(["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "|{p}|{l}"]);
    let mut packages = read(&run(&mut tree).await?)?;
    let lock = fs::read_to_string(place.tree.join("Cargo.lock"))?;

    let needs = |(url, package): (&String, &Package)| json!({"ref": url, "dependsOn": package.needs});
    let dependencies: Vec<Value> = packages.iter().map(needs).collect();
    let function = packages.extract_if(.., |_, package| package.name == NAME).next();
    let (url, function) = function.ok_or_else(|| io::Error::other("cargo tree does not tell of the function"))?;
    let components: io::Result<Vec<Value>> = packages
        .iter()
        .map(|(url, package)| {
            let hash = checksum(&lock, package);
            let hash = hash.ok_or_else(|| io::Error::other(format!("{url} has no hash in Cargo.lock")))?;
            Ok(component("library", url, package, hash))
        })
        .collect();
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": component("application", &url, &function, &sha256(zip)),
            "tools": {"components": tools(place).await?},
        },
        "components": components?,
        "dependencies": dependencies,
    }))
}

/// Reads the lines of the tree, `depth|name vVersion|licence`, each package with all that it needs where it stands first.
fn read(tree: &str) -> io::Result<BTreeMap<String, Package>> {
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    let mut above: Vec<String> = Vec::new();
    for line in tree.lines() {
        let mut parts = line.splitn(3, '|');
        let (Some(depth), Some(package), Some(licence)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(io::Error::other(format!("cargo tree has an odd line: {line:?}")));
        };
        let mut words = package.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let version = words.next().unwrap_or_default().trim_start_matches('v').to_owned();
        let url = format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"));
        above.truncate(depth.parse().map_err(io::Error::other)?);
        if let Some(user) = above.last().and_then(|user| packages.get_mut(user)) {
            user.needs.insert(url.clone());
        }
        // Old packages have a slash where SPDX has OR.
        let licence: Vec<&str> = licence.trim_end_matches(" (*)").split('/').map(str::trim).collect();
        let package = Package { name, version, licence: licence.join(" OR "), needs: BTreeSet::new() };
        packages.entry(url.clone()).or_insert(package);
        above.push(url);
    }
    Ok(packages)
}

/// SHA-256 of a package's archive.
fn checksum<'a>(lock: &'a str, package: &Package) -> Option<&'a str> {
    let start = format!("name = \"{}\"\nversion = \"{}\"\n", package.name, package.version);
    let entry = lock.split("[[package]]\n").find(|entry| entry.starts_with(&start))?;
    entry.lines().find_map(|line| line.strip_prefix("checksum = \"")?.strip_suffix('"'))
}

fn component(kind: &str, url: &str, package: &Package, hash: &str) -> Value {
    json!({
        "type": kind,
        "bom-ref": url,
        "name": package.name,
        "version": package.version,
        "purl": url,
        "licenses": [{"expression": package.licence}],
        "hashes": [{"alg": "SHA-256", "content": hash}],
    })
}

/// What the bytes depend on, besides the sources.
async fn tools(place: &Place) -> io::Result<Vec<Value>> {
    let tool = |name: &str, version: &str| json!({"type": "application", "name": name, "version": version});
    let rustc = run(Command::new("rustc").arg("--version").current_dir(&place.tree)).await?;
    let mut tools = vec![tool("rustc", rustc.trim().trim_start_matches("rustc "))];
    for list in ["cargo-lambda.txt", "zig.txt"] {
        let list = file(&format!("tests/local/python/{list}"));
        let pins = list.lines().filter_map(|line| line.split_once(' ')?.0.split_once("=="));
        tools.extend(pins.map(|(name, version)| tool(name, version)));
    }
    Ok(tools)
}
