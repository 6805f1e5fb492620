// SPDX-License-Identifier: Apache-2.0
// The same echo on tokio.
//   tokio-echo current | multi [BUFFER]      prints "listening on 127.0.0.1:P"; any signal ends it

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

async fn echo(mut stream: TcpStream, size: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0u8; size];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

async fn serve(size: usize) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream, size));
    }
}

fn main() -> std::io::Result<()> {
    let mut builder = match std::env::args().nth(1).as_deref() {
        Some("current") => Builder::new_current_thread(),
        Some("multi") => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(1);
            builder
        }
        _ => std::process::exit(2),
    };
    let size = std::env::args().nth(2).and_then(|text| text.parse().ok());
    builder.enable_io().build()?.block_on(serve(size.unwrap_or(4096)))
}
