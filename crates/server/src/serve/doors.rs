//! Where requests come in: a TCP address for everybody, and a socket in the data folder for the operator.

use super::{
    compose::House,
    health,
    listener::{Door, Hall},
    pages,
};
use crate::{
    client::{SOCKET_NAME, SocketPath},
    failure::{Doing as _, Failure, Outcome},
    files,
};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, header::HOST},
    middleware,
};
use bailiwick_ports::{BoxFuture, Caller};
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{Semaphore, watch},
};

/// Connections of the operator at the same time; they do not compete with clients.
const ADMIN_CONNECTIONS: usize = 64;

/// Open, but not serving yet.
pub(super) struct Doors {
    tcp: TcpListener,
    address: SocketAddr,
    admin: UnixListener,
}

impl Doors {
    #[allow(clippy::disallowed_methods, reason = "the one place that listens")]
    pub async fn open(listen: SocketAddr, data: &Path) -> Outcome<Self> {
        let tcp = TcpListener::bind(listen).await.map_err(|error| {
            let failure = Failure::failed(format!("cannot listen on {listen}: {error}"));
            match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    failure.help("stop what listens there, or choose another --listen ADDRESS:PORT")
                }
                _ => failure.help("choose another --listen ADDRESS:PORT"),
            }
        })?;
        let address = tcp.local_addr().doing(|| "learn the address".to_owned())?;
        let admin = admin_socket(data).doing(|| format!("open the administration socket in {}", data.display()))?;
        Ok(Self { tcp, address, admin })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as others on this machine write it.
    fn host(&self) -> HeaderValue {
        // INVARIANT: an address and a port are printable ASCII.
        HeaderValue::from_str(&reachable(self.address)).expect("an address is a header's value")
    }

    /// Serves until the stop; the future ends when the last request is answered.
    pub fn serve(self, house: &House, connections: usize, stop: watch::Receiver<bool>) -> BoxFuture<'static, ()> {
        let hall = |connections| {
            let (tasks, metrics) = (Arc::clone(&house.tasks), Arc::clone(&house.metrics));
            Arc::new(Hall { tasks, metrics, room: Arc::new(Semaphore::new(connections)), stop: stop.clone() })
        };
        let public = health::routes(house).merge(health::counted(house.api.router(), &house.metrics));
        let public = pages::before(public);
        let operator = Caller::operator(house.tenant);
        let private = health::routes(house).merge(health::counted(house.api.router_for(operator), &house.metrics));
        // Through the socket nobody says under which address others reach this server; sessions show it to executors.
        let private = private.layer(middleware::map_request_with_state(self.host(), named));
        let mut ends = Vec::new();
        for (door, router, connections) in
            [(Door::Tcp(self.tcp), public, connections), (Door::Unix(self.admin), private, ADMIN_CONNECTIONS)]
        {
            let (done, hear) = tokio::sync::oneshot::channel::<()>();
            let served = hall(connections).serve(door, router);
            house.tasks.spawn(
                "door",
                Box::pin(async move {
                    served.await;
                    drop(done);
                }),
            );
            ends.push(hear);
        }
        Box::pin(async move {
            for end in ends {
                let _ = end.await;
            }
        })
    }
}

async fn named(State(host): State<HeaderValue>, mut request: Request) -> Request {
    request.headers_mut().insert(HOST, host);
    request
}

/// `ADDRESS:PORT`; what listens everywhere is reached here by its loopback address.
pub(super) fn reachable(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => format!("127.0.0.1:{}", address.port()),
        ip if ip.is_unspecified() => format!("[::1]:{}", address.port()),
        _ => address.to_string(),
    }
}

/// A socket that only its owner may connect to. It gets its name after its mode, so that there is no moment in between.
/// The caller holds the folder's lock: what lies there is left from a server that is gone.
#[allow(clippy::disallowed_methods, reason = "the one place that listens")]
fn admin_socket(data: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    let place = SocketPath::new(data)?;
    let draft = place.path().with_file_name(format!(".{SOCKET_NAME}"));
    files::remove(&draft)?;
    let listener = UnixListener::bind(&draft)?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&draft, place.path())?;
    Ok(listener)
}
