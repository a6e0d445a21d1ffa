//! Decides where the mock upstream listens, and says so in one JSON line.
//! Deliberately takes one argument only: behaviour is in the name of the model.

use p402_benches::mock::server::Server;
use std::io::{self, Write};
use std::net::TcpListener;

fn main() -> io::Result<()> {
    let port = match std::env::args().nth(1) {
        Some(text) => text.parse::<u16>().map_err(io::Error::other)?,
        None => 0,
    };
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let line = serde_json::json!({"port": listener.local_addr()?.port()});
    writeln!(io::stdout(), "{line}")?;
    Server::new(listener)?.run()
}
