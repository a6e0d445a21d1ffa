//! A PostgreSQL server of the test's own, in a folder of its own, as nobody in particular.

#![allow(dead_code, reason = "each test file uses what it needs")]
#![expect(clippy::expect_used, reason = "a test that cannot set up must fail loudly")]

use rustix::process::{Pid, Signal, geteuid, kill_process, kill_process_group};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The server refuses root; any other user will do.
const NOBODY: u32 = 65_534;

/// A cluster that lives as long as this.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    server: Option<Child>,
    /// Settings beside those that every one has.
    settings: Vec<String>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let mut made = Self::initialised();
        made.resume();
        made
    }

    /// One that lets nobody in but by TLS, on this port, with a certificate of the user's own.
    pub(crate) fn guarded(port: u16, papers: [(&str, PathBuf); 3]) -> Self {
        let mut made = Self::initialised();
        let db = made.folder.path().join("db");
        made.settings = vec![format!("port={port}"), "listen_addresses=127.0.0.1".to_owned()];
        made.settings.push("ssl=on".to_owned());
        for (setting, from) in papers {
            // The server reads a key that is its own and nobody else's.
            let to = db.join(setting);
            std::fs::copy(from, &to).expect("a certificate");
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).expect("private");
            if geteuid().is_root() {
                chown(&to, Some(NOBODY), Some(NOBODY)).expect("a file of nobody's");
            }
            made.settings.push(format!("{setting}={setting}"));
        }
        let whom = "hostssl all p402 127.0.0.1/32 cert\n";
        std::fs::write(db.join("pg_hba.conf"), whom).expect("who may come");
        made.resume();
        made
    }

    fn initialised() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("a folder of nobody's");
        } else {
            let private = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(folder.path(), private).expect("a private folder");
        }
        let made = Self { folder, programs: programs(), server: None, settings: Vec::new() };
        let args = ["--auth=trust", "--username=p402", "--encoding=UTF8", "--no-sync", "-D", "db"];
        let status = made.command("initdb").args(args).status().expect("initdb");
        assert!(status.success(), "initdb: {status}");
        made
    }

    pub(crate) fn url(&self) -> String {
        format!("host={} user=p402 dbname=postgres", self.folder.path().display())
    }

    /// Starts the server; whoever connects waits for it.
    pub(crate) fn resume(&mut self) {
        let sockets = format!("unix_socket_directories={}", self.folder.path().display());
        let settings = ["-D", "db", "-c", &sockets, "-c", "listen_addresses=", "-c", "fsync=off"];
        let more = self.settings.iter().flat_map(|setting| ["-c", setting]);
        let mut command = self.command("postgres");
        self.server = Some(command.args(settings).args(more).spawn().expect("postgres"));
        let port = self.settings.iter().find_map(|setting| setting.strip_prefix("port="));
        let socket = self.folder.path().join(format!(".s.PGSQL.{}", port.unwrap_or("5432")));
        super::until("the server listens", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
    }

    /// Ends the server and every connection, as an operator would.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            kill_process(Pid::from_child(&server), Signal::INT).expect("a signal");
            server.wait().expect("an end");
        }
    }

    /// Stops the server's and every connection's process in its tracks, or lets them go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        if let Some(server) = &self.server {
            kill_process_group(Pid::from_child(server), signal).expect("a signal");
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).env_clear().env("LC_ALL", "C");
        command.process_group(0);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The newest release that is installed.
fn programs() -> PathBuf {
    let releases = std::fs::read_dir("/usr/lib/postgresql")
        .expect("these tests need a PostgreSQL server: apt install postgresql");
    let mut found: Vec<PathBuf> =
        releases.map(|entry| entry.expect("an entry").path().join("bin")).collect();
    found.retain(|path| Path::new(path).join("initdb").exists());
    found.sort();
    found.pop().expect("these tests need a PostgreSQL server: apt install postgresql")
}
