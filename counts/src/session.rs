//! From pipe to session, and its records: Noise and TLS. The ciphers' own instructions are in these counts.

use bytes::BytesMut;
use carrick_session::{
    Config, NoiseIdentity, Records, Role, Security, TlsIdentity, Upgrade, Upgraded,
};
use carrick_wire::{Keypair, ProtocolId};
use std::{hint::black_box, sync::Arc, time::Instant};

/// A security protocol to be counted.
pub(crate) struct Secure {
    security: fn(&Keypair, u8) -> Security,
}

pub(crate) const NOISE: Secure = Secure {
    security: |keypair, seed| {
        let identity = NoiseIdentity::new(keypair, [seed; 32], vec![YAMUX]);
        Security::Noise(Arc::new(identity.expect("it can sign")))
    },
};

pub(crate) const TLS: Secure = Secure {
    security: |keypair, _| {
        let identity = TlsIdentity::new(keypair, vec![YAMUX]);
        Security::Tls(Arc::new(identity.expect("it can sign")))
    },
};

const YAMUX: ProtocolId = ProtocolId::from_static("/yamux/1.0.0");
/// Records that are made to be opened, whatever the number of times.
const SEALED: usize = 40_000;
/// The same of large ones.
const SEALED_LARGE: usize = 400;

impl Secure {
    /// Two sides that never met before.
    fn securities(&self) -> [Security; 2] {
        [1, 2].map(|seed| {
            let keypair = Keypair::ed25519_from_bytes([seed; 32]).expect("any bytes are a key");
            (self.security)(&keypair, seed)
        })
    }

    /// Upgrades, both sides of each; the static keys are those of two nodes that have been running for a while.
    pub(crate) fn upgrades(&self, times: usize) {
        let securities = self.securities();
        for nth in 0..times {
            black_box(upgrade(&securities, nth));
        }
    }

    /// Records of `len` bytes, laid out as the muxer does and sealed where they lie.
    pub(crate) fn seals(&self, len: usize, times: usize) {
        let [mut dialer, _] = upgrade(&self.securities(), 0);
        let mut records = Records::new(dialer.sealer.layout());
        let data = vec![7; len];
        for _ in 0..times {
            records.push(black_box(&data));
            dialer.sealer.seal(&mut records).expect("there are nonces");
            black_box(records.as_slice());
            records.clear();
        }
    }

    /// The same records, opened as they lie in one block.
    pub(crate) fn opens(&self, len: usize, times: usize) {
        let [mut dialer, mut listener] = upgrade(&self.securities(), 0);
        let mut records = Records::new(dialer.sealer.layout());
        let (mut block, data) = (BytesMut::new(), vec![7; len]);
        let made = if len < 1 << 10 { SEALED } else { SEALED_LARGE };
        for _ in 0..made {
            records.push(&data);
            dialer.sealer.seal(&mut records).expect("there are nonces");
            block.extend_from_slice(records.as_slice());
            records.clear();
        }
        let mut left = times * len;
        while left > 0 {
            let plain = listener.opener.open(&mut block).expect("it is authentic");
            left -= black_box(plain).expect("enough were made").len();
        }
    }
}

/// One upgrade of both sides, each with its own randomness.
fn upgrade(securities: &[Security; 2], nth: usize) -> [Upgraded; 2] {
    let config = Arc::new(Config::default());
    let now = Instant::now();
    let mut upgrades = [(Role::Dialer, 0), (Role::Listener, 1)].map(|(role, side)| {
        let securities = vec![securities[side].clone()];
        let mut seed = [side as u8 + 3; 32];
        seed[..8].copy_from_slice(&nth.to_le_bytes());
        let upgrade = Upgrade::new(
            role,
            config.clone(),
            securities,
            vec![YAMUX],
            None,
            now,
            seed,
        );
        upgrade.expect("the identity is usable")
    });
    let mut done: [Option<Upgraded>; 2] = [None, None];
    let mut out = Vec::new();
    while done.iter().any(Option::is_none) {
        for side in [0, 1] {
            if upgrades[side].poll_transmit(&mut out) {
                match &mut done[1 - side] {
                    None => upgrades[1 - side].recv(now, &out).expect("honest peers"),
                    Some(up) => up.leftover.extend_from_slice(&out),
                }
                out.clear();
            }
            if done[side].is_none() {
                done[side] = upgrades[side].finish();
            }
        }
    }
    done.map(|up| up.expect("both are done"))
}
