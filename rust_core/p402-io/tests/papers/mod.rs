//! Certificates of a test's own: an authority in a folder, and what it has issued.
//! Does not outlive the test; nobody else believes it.

#![allow(dead_code, unreachable_pub, reason = "a module of several test binaries")]
#![expect(clippy::expect_used, reason = "a test that cannot set up must fail loudly")]

use p402_io::trust::Trust;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Nothing that a host's own settings would add.
const PLAIN: &str = "[req]\ndistinguished_name=dn\n[dn]\n";

pub struct Authority {
    pub folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("plain.cnf"), PLAIN).expect("a file");
        let made = Self { folder };
        made.openssl("ca", &["-addext", "basicConstraints=critical,CA:TRUE"]);
        made
    }

    /// A certificate for the host `localhost`, or of a user of that name.
    pub fn issues(&self, name: &str) -> (PathBuf, PathBuf) {
        let ca = self.ca().display().to_string();
        let (key, of) = (self.path("ca.key").display().to_string(), format!("DNS:{name}"));
        let names = format!("subjectAltName={of}");
        let plain = "basicConstraints=critical,CA:FALSE";
        self.openssl(name, &["-CA", &ca, "-CAkey", &key, "-addext", &names, "-addext", plain]);
        (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")))
    }

    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Whoever believes this authority alone, and shows nothing.
    pub fn believed(&self) -> Trust {
        Trust::read(Some(&self.ca()), (None, None)).expect("an authority")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, name: &str, more: &[&str]) {
        let status = Command::new("openssl")
            .current_dir(self.folder.path())
            .args(["req", "-x509", "-config", "plain.cnf", "-days", "2", "-nodes"])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-subj", &format!("/CN={name}")])
            .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let made = status.expect("openssl is installed (Debian: openssl)");
        assert!(made.success(), "openssl: {name}");
    }
}
