//! The program that libFuzzer drives. `CARRICK_FUZZ_TARGET` names the target; without it the names are printed.
//!
//! Besides what a target promises, no input may take long or much memory. What the worst one took is printed.

#![no_main]

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use carrick_fuzz::{Target, targets};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("CARRICK_FUZZ_TARGET").unwrap_or_default();
    targets()
        .find(|target| target.1 == name)
        .unwrap_or_else(|| {
            targets().for_each(|(kind, name, _)| println!("{kind} {name}"));
            std::process::exit(2)
        })
});

/// Of the input that took longest so far, and of the one that took most.
static SLOWEST: AtomicU64 = AtomicU64::new(0);
static LARGEST: AtomicU64 = AtomicU64::new(0);

/// A decoder's input that takes longer may hold up a server. Ten times what we aim at: this build is slow, and so may the
/// machine be. A machine's input says itself how much is to be done.
const TIME_MAX: Duration = Duration::from_millis(100);
const MACHINE_TIME_MAX: Duration = Duration::from_secs(1);
/// Of a decoder for each byte of the input, and besides; of machines, whose inputs say how much they are to send.
const MEMORY_PER_BYTE_MAX: usize = 64;
const MEMORY_MAX: usize = 2 << 20;
const MACHINE_MEMORY_MAX: usize = 64 << 20;

libfuzzer_sys::fuzz_target!(init: LazyLock::force(&TARGET), |data: &[u8]| {
    let run = || {
        let start = Instant::now();
        TARGET.2(data);
        start.elapsed()
    };
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut took = run();
    let memory = MEMORY.peak_usage().saturating_sub(before);
    // Something else may have run meanwhile: the best of several says what it takes.
    if took > Duration::from_millis(1) && took.as_micros() as u64 > SLOWEST.load(Relaxed) {
        took = (0..4).map(|_| run()).fold(took, Duration::min);
    }
    worse(&SLOWEST, took.as_micros() as u64, "slowest input, us");
    worse(&LARGEST, memory as u64, "largest input, bytes");
    let (time_max, memory_max) = match TARGET.0 {
        "decoder" => (TIME_MAX, MEMORY_MAX + MEMORY_PER_BYTE_MAX * data.len()),
        _ => (MACHINE_TIME_MAX, MACHINE_MEMORY_MAX),
    };
    assert!(took < time_max, "an input took {took:?}");
    assert!(
        memory < memory_max,
        "{} bytes took {memory} bytes of memory",
        data.len()
    );
});

fn worse(most: &AtomicU64, value: u64, what: &str) {
    let before = most.fetch_max(value, Relaxed);
    if value > before && value / 8 > before / 8 {
        eprintln!("carrick-fuzz: {what}: {value}");
    }
}
