//! Which machine has which limits.

use super::*;

const MIB: u64 = 1 << 20;

fn scale(mebibytes: u64, descriptors: u64) -> Scale {
    let memory = mebibytes * MIB;
    Machine {
        memory,
        descriptors,
    }
    .scale()
}

#[test]
fn an_ordinary_machine_has_the_ordinary_limits() {
    let expected = Scale {
        memory: 1024 * MIB,
        memory_per_peer: 64 * MIB,
        descriptors: 10_000,
        inbound: 512,
        outbound: 256,
        pending: 128,
        dials: 128,
        streams: 16_384,
        negotiations: 4096,
    };
    assert_eq!(scale(8 * 1024, 20_000), expected);
}

#[test]
fn a_small_machine_has_smaller_ones_and_a_large_one_no_larger_than_is_good_for_it() {
    // Memory in MiB and descriptors; memory for us in MiB, inbound and outbound connections.
    let table = [
        ((64, 256), (16, 26, 12)),
        ((256, 256), (32, 51, 25)),
        ((256, 1024), (32, 51, 25)),
        ((512, 1024), (64, 102, 51)),
        ((1024, 256), (128, 62, 30)),
        ((1024, 1024), (128, 205, 102)),
        ((2048, 1024), (256, 296, 147)),
        ((4096, 1024), (512, 296, 147)),
        ((4096, 4096), (512, 512, 256)),
        ((8192, 1_048_576), (1024, 512, 256)),
        ((65_536, 1_048_576), (4096, 512, 256)),
        ((0, 0), (16, 8, 3)),
        ((u64::MAX / MIB, u64::MAX), (4096, 512, 256)),
    ];
    for ((memory, descriptors), expected) in table {
        let scale = scale(memory, descriptors);
        let found = (scale.memory / MIB, scale.inbound, scale.outbound);
        assert_eq!(found, expected, "{memory} MiB, {descriptors} descriptors");
    }
}

#[test]
fn on_every_machine_the_connections_fit_into_memory_and_descriptors() {
    for memory in (6..20).map(|bits| 1 << bits) {
        for descriptors in (6..21).map(|bits| 1 << bits) {
            let scale = scale(memory, descriptors);
            let connections = scale.inbound + scale.outbound;
            assert!(connections as u64 * CONNECTION_BYTES <= scale.memory);
            assert!(connections <= scale.descriptors, "{scale:?}");
            assert!(scale.pending <= scale.inbound && scale.dials <= scale.outbound);
            assert!(scale.inbound >= 1 && scale.outbound >= 1);
        }
    }
}

#[test]
fn what_the_system_says_is_read() {
    assert_eq!(
        total("MemTotal:       24731412 kB\nMemFree: 1 kB"),
        Some(24_731_412 * 1024)
    );
    assert_eq!(total("MemFree: 1 kB"), None);
    assert_eq!(
        files("0::/a.slice/b\n"),
        [
            "/sys/fs/cgroup/a.slice/b/memory.max",
            "/sys/fs/cgroup/a.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ]
    );
    assert_eq!(
        files("5:memory:/a\n4:cpu,cpuacct:/a\nnonsense"),
        [
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ]
    );
    assert!(Machine::this().memory > 0 && Machine::this().descriptors > 0);
}
