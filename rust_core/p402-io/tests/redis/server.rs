//! A real redis-server of the test's own: on a unix socket (and a loopback port where asked).
//! Does not share anything with another test and ends with it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Ports for servers of tests: below those that the kernel deals out (from 32,768), so that no
/// connection of another test sits on one while its server is away, and none connects to itself.
const PORTS: std::ops::Range<u32> = 10_000..32_000;
/// Processes of tests begin so far apart.
const APART: u32 = 127;

pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    extra: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts with extra settings, as on the command line.
    pub(crate) fn with(extra: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let extra: Vec<String> = extra.iter().map(|word| (*word).to_owned()).collect();
        let child = spawn(folder.path(), port, &extra);
        let mut server = Self { child, folder, port, extra };
        server.wait();
        server
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection that waits as long as it takes.
    pub(crate) fn connect(&self) -> redis::Connection {
        self.connect_as(None)
    }

    pub(crate) fn connect_as(&self, password: Option<&str>) -> redis::Connection {
        let who = password.map(|word| format!("?pass={word}")).unwrap_or_default();
        let url = format!("redis+unix://{}{who}", self.socket().display());
        redis::Client::open(url).unwrap().get_connection().unwrap()
    }

    /// A value of INFO.
    pub(crate) fn says(&self, name: &str) -> String {
        let told: String = redis::cmd("INFO").query(&mut self.connect()).unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().to_owned()
    }

    /// Waits until INFO says so.
    pub(crate) fn until(&self, name: &str, value: &str) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.says(name) != value {
            assert!(Instant::now() < end, "{name} is not {value}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A setting as the server has it.
    pub(crate) fn setting(&self, name: &str) -> String {
        let pair: (String, String) =
            redis::cmd("CONFIG").arg("GET").arg(name).query(&mut self.connect()).unwrap();
        pair.1
    }

    /// Adds settings for the next start.
    pub(crate) fn set(&mut self, words: &[&str]) {
        self.extra.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Sends a signal to the server.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// No file of it may be longer; a write beyond that fails as on a full disk.
    pub(crate) fn room(&self, bytes: Option<u64>) {
        let most = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let limit = format!("--fsize={most}:unlimited");
        let set = Command::new("prlimit").args(["--pid", &self.pid().to_string(), &limit]).status();
        assert!(set.unwrap().success());
    }

    /// How long its append-only file is by now.
    pub(crate) fn appended(&self) -> u64 {
        self.appends().metadata().unwrap().len()
    }

    /// Shortens that file.
    pub(crate) fn cut(&self, bytes: u64) {
        self.appends().set_len(bytes).unwrap();
    }

    fn appends(&self) -> File {
        let folder = self.folder.path().join("appendonlydir");
        let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let grows = |path: &PathBuf| path.to_string_lossy().ends_with(".incr.aof");
        File::options().write(true).open(files.find(grows).unwrap()).unwrap()
    }

    /// Ends it without a word, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port, folder and settings.
    pub(crate) fn restart(&mut self) {
        self.begin();
        self.wait();
    }

    /// The same, without waiting until it answers.
    pub(crate) fn begin(&mut self) {
        self.child = spawn(self.folder.path(), self.port, &self.extra);
    }

    /// By its socket, which is nobody else's, and which it opens after its port.
    fn wait(&mut self) {
        let client = redis::Client::open(format!("redis+unix://{}", self.socket().display()));
        let (client, end) = (client.unwrap(), Instant::now() + Duration::from_secs(20));
        while Instant::now() < end {
            if client.get_connection().is_ok_and(|mut connection| {
                let pong: redis::RedisResult<String> = redis::cmd("PING").query(&mut connection);
                pong.is_ok() || pong.is_err_and(|error| error.code() == Some("LOADING"))
            }) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "redis-server on port {}: {ended:?}", self.port);
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("redis-server does not answer on port {}", self.port);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A stopped server must be woken to die.
        let _ = Command::new("kill").args(["-CONT", &self.pid().to_string()]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nobody listens there, and no other test of this process is told of it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(APART);
    loop {
        let next = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = (PORTS.start + next % (PORTS.end - PORTS.start)) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn spawn(folder: &std::path::Path, port: u16, extra: &[String]) -> Child {
    // A file that may not grow is to be an error, not a signal.
    Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec redis-server \"$@\"", "sh"])
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--unixsocket", &folder.join("redis.sock").display().to_string()])
        .args(["--dir", &folder.display().to_string(), "--appendonly", "no"])
        .args(["--enable-debug-command", "yes"])
        .args(extra)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed (Debian: redis-server)")
}
