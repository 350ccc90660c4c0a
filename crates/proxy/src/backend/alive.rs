//! Whether a server runs on, after one of its connections has ended.

use std::time::Duration;

use dormouse_link::{Link, Origin, proxy_header};
use dormouse_types::Target;
use tokio::io::AsyncReadExt as _;

use crate::deadline::{within, write_all};

/// A server that takes longer to greet counts as one that has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the server greets a new connection, even if only to say that it has too many. One that was killed does
/// not, nor does one that is being stopped: it closes its listening sockets first.
pub(crate) async fn is_alive(target: Option<&Target>) -> bool {
    let Some(target) = target else {
        return false;
    };
    let greeted = async {
        let mut link = Link::connect(&target.endpoint).await?;
        let header = proxy_header(&target.endpoint, &Origin::Local);
        write_all(&mut link, &header, PATIENCE).await?;
        let mut greeting = [0; 5];
        link.read(&mut greeting).await
    };
    within(PATIENCE, greeted).await.is_ok_and(|read| read > 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;

    use dormouse_types::{Endpoint, InstanceId, Pooling};

    use super::*;

    #[tokio::test]
    async fn only_a_server_that_greets_is_alive() {
        let name = format!("dormouse-alive-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let target = Arc::new(Target {
            origin: InstanceId(1),
            instance: InstanceId(1),
            generation: 1,
            endpoint: Endpoint::Unix(path.clone()),
            pooling: Pooling::Statement,
            carry: Default::default(),
        });
        assert!(!is_alive(None).await);
        assert!(!is_alive(Some(&target)).await, "nobody listens");

        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            use std::io::Write as _;
            let (mut greets, _) = listener.accept().unwrap();
            greets.write_all(b"\x05\0\0\0\x0a").unwrap();
            // it ends before it greets
            drop(listener.accept().unwrap());
        });
        assert!(is_alive(Some(&target)).await);
        assert!(!is_alive(Some(&target)).await, "it has closed");
        server.join().unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
