//! Local ports that nothing else on the machine is given by chance.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the kernel picks ports for outgoing connections, so that a port whose listener is closed
/// for a while (a cut link, a daemon that restarts) is still free afterwards.
const FIRST: u16 = 20_000;
const COUNT: u16 = 11_000;

/// An address on loopback where nothing listens now, never given twice by this process until the range is used up.
pub(crate) fn reserve() -> SocketAddr {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();

    // Two test processes at a time start far apart from each other.
    let start = process::id().wrapping_mul(797) % u32::from(COUNT);
    let next = NEXT.get_or_init(|| AtomicU16::new(u16::try_from(start).expect("a remainder of a u16")));
    (0..COUNT)
        .map(|_| {
            let offset = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some((n + 1) % COUNT));
            let offset = offset.expect("the update always has a value");
            SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset))
        })
        .find(|addr| TcpListener::bind(addr).is_ok())
        .expect("a port between 20000 and 31000 is free")
}
