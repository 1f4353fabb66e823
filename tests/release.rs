//! What is released: the form of the zip, and the bill of what is in it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use local::{
    bill::bill,
    file,
    python::{Python, run, target},
    release::{Architecture, Place, zip},
};
use serde_json::Value;

/// As Python reads it, which is not what wrote it.
#[tokio::test]
async fn the_zip_holds_the_program_alone_as_bootstrap_that_all_may_execute() {
    const READ: &str = "import sys, zipfile\n\
        for entry in (zip := zipfile.ZipFile(sys.argv[1])).infolist():\n    \
            print(entry.filename, oct(entry.external_attr >> 16), entry.date_time, zip.read(entry))";
    let python = Python::set_up().await.unwrap_or_else(|error| panic!("this test cannot run: {error}"));
    let path = target().join(format!("release-{}.zip", std::process::id()));
    std::fs::write(&path, zip(b"\x7fELF and so on, and so on, and so on").unwrap()).unwrap();
    let read = run(python.program("python").args(["-c", READ]).arg(&path)).await.unwrap();
    std::fs::remove_file(path).unwrap();
    let entry = "bootstrap 0o100755 (1980, 1, 1, 0, 0, 0) b'\\x7fELF and so on, and so on, and so on'\n";
    assert_eq!(read, entry);
}

/// That the packages are those of the binary, `cargo release` itself sees to: it has one.
#[tokio::test]
async fn every_package_of_the_bill_has_its_licence_its_url_its_hash_and_its_users_of_the_lock_file() {
    let locked = file("Cargo.lock").replace("registry+https://github.com/rust-lang/crates.io-index", "crates.io");
    let place = Place::here().unwrap();
    for architecture in Architecture::ALL {
        let bill = bill(&place, architecture, b"a zip").await.unwrap();
        let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let mut odd = BTreeMap::new();
        let mut urls = BTreeSet::from([text(&bill, "/metadata/component/bom-ref").unwrap()]);
        for component in bill["components"].as_array().unwrap() {
            let [name, version, url, hash, licence] =
                ["/name", "/version", "/purl", "/hashes/0/content", "/licenses/0/expression"]
                    .map(|pointer| text(component, pointer).unwrap_or_default());
            let entry =
                format!("name = \"{name}\"\nversion = \"{version}\"\nsource = \"crates.io\"\nchecksum = \"{hash}\"\n");
            let is_locked = hash.len() == 64 && locked.contains(&entry);
            let has_url = url == format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"));
            if !is_locked || !has_url || licence.is_empty() || licence.contains('/') {
                odd.insert(name, component.clone());
            }
            urls.insert(url);
        }
        assert_eq!(odd, BTreeMap::new(), "{architecture:?}");
        let mut needed = BTreeSet::from(["pkg:cargo/chat-signup-import@0.1.0".to_owned()]);
        for package in bill["dependencies"].as_array().unwrap() {
            let (name, version) = named(package["ref"].as_str().unwrap());
            let start = format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
            let entry = locked.split_once(&start).unwrap().1.split("[[").next().unwrap();
            for url in package["dependsOn"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()) {
                let (name, version) = named(url);
                // The version stands there only where there are two.
                let lines = [format!("\n \"{name}\",\n"), format!("\n \"{name} {version}\",\n")];
                assert!(lines.iter().any(|line| entry.contains(line)), "{} does not need {url}", package["ref"]);
                needed.insert(url.to_owned());
            }
        }
        assert_eq!(needed, urls, "{architecture:?}");
    }
}

/// A package's name and version, out of its URL.
fn named(url: &str) -> (String, String) {
    let (name, version) = url.strip_prefix("pkg:cargo/").unwrap().split_once('@').unwrap();
    (name.to_owned(), version.replace("%2B", "+"))
}
