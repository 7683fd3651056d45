//! Which addresses belong to everybody, and which nobody may be sent to.
//!
//! Blocks are those of the IANA registries of special-purpose addresses (RFC 6890) as of 2026, and the addresses at
//! which clouds hand credentials to whoever asks from inside.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Whether an address belongs to everybody: global unicast that stands for nothing private, in whatever spelling.
pub fn is_public(address: IpAddr) -> bool {
    !is_forbidden(address)
        && match plain(address) {
            IpAddr::V4(v4) => is_global_v4(v4),
            IpAddr::V6(v6) => is_global_v6(v6),
        }
}

/// Whether nobody may be sent there, not even by an administrator: link-local addresses and the others at which clouds
/// serve metadata, multicast, unspecified and reserved ones.
pub fn is_forbidden(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            const CLOUDS: [Ipv4Addr; 3] = [
                Ipv4Addr::new(100, 100, 100, 200), // Alibaba
                Ipv4Addr::new(168, 63, 129, 16),   // Azure
                Ipv4Addr::new(192, 0, 0, 192),     // Oracle
            ];
            a == 0 || a >= 224 || (a == 169 && b == 254) || CLOUDS.contains(&v4)
        }
        IpAddr::V6(v6) => {
            const CLOUDS: [Ipv6Addr; 3] = [
                Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // Amazon
                Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google
                Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),   // Scaleway
            ];
            let first = v6.segments()[0];
            v6.is_unspecified() || (first & 0xffc0) == 0xfe80 || (first & 0xff00) == 0xff00 || CLOUDS.contains(&v6)
        }
    }
}

/// The address that is meant: an IPv4 address inside an IPv6 one is taken out of it. Mapped (RFC 4291), compatible,
/// translated (RFC 2765), NAT64 (RFC 6052), ISATAP (RFC 5214).
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let low = Ipv4Addr::from_bits((v6.to_bits() & 0xffff_ffff) as u32);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => low.into(),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => low.into(),
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => low.into(),
        _ => address,
    }
}

fn is_global_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    !(a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113))
}

/// Global unicast without protocol assignments and Teredo (2001::/23), documentation, and 6to4, which carries an IPv4
/// address that a relay elsewhere would use.
fn is_global_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    (a & 0xe000) == 0x2000
        && !(a == 0x2001 && (b < 0x200 || b == 0xdb8))
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
        && (a & 0xfff0) != 0x3ff0
}

/// A block of addresses: `10.2.0.0/16`, `fd12:3456::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// An IPv4 address in an IPv6 spelling is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, plain(address)) {
            (IpAddr::V4(base), IpAddr::V4(v4)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == v4.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(v6)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == v6.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no block of addresses, such as `10.2.0.0/16`");
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > most { Err(wrong()) } else { Ok(Self { base, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// Whether a name can only mean something inside: names of this machine and of the local network (RFC 6761, 6762, 7686,
/// 8375, and what ICANN keeps back for private use), and names without a dot, which a search list completes.
pub(crate) fn is_inside_name(name: &str) -> bool {
    const INSIDE: [&str; 14] = [
        "localhost",
        "local",
        "internal",
        "intranet",
        "private",
        "corp",
        "home",
        "lan",
        "localdomain",
        "home.arpa",
        "onion",
        "test",
        "invalid",
        "example",
    ];
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    !name.contains('.') || INSIDE.iter().any(|end| name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')))
}

/// Whether a name means this machine (RFC 6761).
pub(crate) fn is_this_machine(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_belongs_to_everybody_is_public() {
        for public in ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909", "192.0.1.1", "100.128.0.1"] {
            assert!(is_public(address(public)), "{public}");
        }
        let private = "0.0.0.0 0.1.2.3 10.1.2.3 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.0.1 \
            169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 \
            198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 168.63.129.16 100.100.100.200 \
            :: ::1 fe80::1 febf::1 fec0::1 fc00::1 fd00:ec2::254 fd20:ce::254 ff02::1 100::1 5f00::1 2001::1 2001:db8::1 \
            2001:10::1 2001:20::1 2002:7f00:1:: 2002:0909:0909:: 3fff::1 64:ff9b:1::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 \
            ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe ::7f00:1 ::ffff:0:127.0.0.1 \
            2600:1234::5efe:10.0.0.1 2600:1234::200:5efe:169.254.169.254";
        for private in private.split_whitespace() {
            assert!(!is_public(address(private)), "{private}");
        }
    }

    #[test]
    fn some_addresses_are_open_to_nobody_whoever_names_them() {
        let forbidden = "0.0.0.0 0.0.0.1 169.254.169.254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe fe80::1 fd00:ec2::254 \
            100.100.100.200 168.63.129.16 224.0.0.1 255.255.255.255 ff02::1 ::";
        for forbidden in forbidden.split_whitespace() {
            assert!(is_forbidden(address(forbidden)), "{forbidden}");
        }
        for inside in "127.0.0.1 10.0.0.1 192.168.1.1 100.64.0.1 ::1 fd12::1 9.9.9.9".split_whitespace() {
            assert!(!is_forbidden(address(inside)), "{inside}");
        }
    }

    #[test]
    fn a_block_holds_its_addresses_in_every_spelling() {
        let block: Network = "10.2.0.0/16".parse().unwrap();
        assert!(block.contains(address("10.2.255.1")) && block.contains(address("::ffff:10.2.0.1")));
        assert!(!block.contains(address("10.3.0.1")) && !block.contains(address("::1")));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains(address("1.2.3.4")));
        assert!("fd12::/16".parse::<Network>().unwrap().contains(address("fd12:9::1")));
        assert_eq!("127.0.0.1".parse::<Network>().unwrap().to_string(), "127.0.0.1/32");
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "example.com", "::/129", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_the_inside_are_known() {
        for inside in
            ["localhost", "a.localhost.", "printer.local", "PRINTER.LOCAL.", "wiki", "metadata.google.internal"]
        {
            assert!(is_inside_name(inside), "{inside}");
        }
        for outside in ["example.com", "local.example.com", "notlocal.org", "example.com."] {
            assert!(!is_inside_name(outside), "{outside}");
        }
    }
}
