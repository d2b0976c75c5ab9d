//! Each fault alone, its share and its order; the same seed gives the same arrivals.

use super::*;

fn faults(change: impl FnOnce(&mut Faults)) -> Faults {
    let mut faults = Faults {
        reorder_by: ms(10),
        queue: ms(100),
        ..Faults::default()
    };
    change(&mut faults);
    faults
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn numbered(number: u32) -> Vec<u8> {
    let mut packet = number.to_be_bytes().to_vec();
    packet.resize(100, 0);
    packet
}

/// Sends `count` packets, one a millisecond; when what arrived, in order.
fn arrivals(seed: u64, count: u32, faults: &Faults) -> (Vec<(Duration, Vec<u8>)>, Tally) {
    let mut way = Way::new(seed, 0);
    for number in 0..count {
        way.send(ms(number.into()), numbered(number), faults);
    }
    let mut arrived = vec![];
    while let Some(at) = way.next() {
        if let Some(before) = at.checked_sub(Duration::from_nanos(1)) {
            assert_eq!(way.arrived(before), None);
        }
        arrived.push((at, way.arrived(at).unwrap()));
    }
    (arrived, way.tally)
}

#[test]
fn the_same_seed_gives_the_same_arrivals_and_another_one_others() {
    let bad = faults(|faults| {
        (faults.delay, faults.jitter) = (ms(50), ms(20));
        (faults.loss, faults.reorder, faults.duplicate) = (0.1, 0.2, 0.1);
        (faults.corrupt, faults.burst, faults.rate) = (0.1, 3.0, 1_000_000);
    });
    assert_eq!(arrivals(7, 1000, &bad), arrivals(7, 1000, &bad));
    assert_ne!(arrivals(7, 1000, &bad), arrivals(8, 1000, &bad));
}

#[test]
fn one_fault_more_leaves_the_others_where_they_were() {
    let lost = |faults: &Faults| {
        let (arrived, _) = arrivals(7, 1000, faults);
        arrived
            .into_iter()
            .map(|(_, packet)| packet)
            .collect::<Vec<_>>()
    };
    let few = faults(|faults| faults.loss = 0.3);
    let more = faults(|faults| (faults.loss, faults.jitter) = (0.3, ms(5)));
    assert_eq!(lost(&few), lost(&more));
}

#[test]
fn a_perfect_cable_delivers_everything_at_once_and_in_order() {
    let (arrived, tally) = arrivals(7, 100, &faults(|_| ()));
    let expected = (0..100).map(|number| (ms(number.into()), numbered(number)));
    assert_eq!(arrived, expected.collect::<Vec<_>>());
    assert_eq!((tally.delivered, tally.bytes), (100, 10_000));
}

#[test]
fn delay_and_jitter_keep_the_order() {
    let (arrived, _) = arrivals(7, 1000, &faults(|f| (f.delay, f.jitter) = (ms(50), ms(20))));
    for (number, (at, packet)) in (0..).zip(&arrived) {
        assert_eq!(*packet, numbered(number));
        // What waits for the one before it may be later than its own jitter.
        let took = *at - ms(number.into());
        assert!((ms(50)..ms(70)).contains(&took), "{number}: {took:?}");
    }
}

#[test]
fn loss_is_the_share_asked_for_alone_and_in_bursts() {
    let runs = |burst| {
        let (arrived, tally) = arrivals(7, 20_000, &faults(|f| (f.loss, f.burst) = (0.2, burst)));
        assert_eq!(arrived.len() as u64 + tally.lost, 20_000);
        let share = tally.lost as f64 / 20_000.0;
        assert!((0.17..0.23).contains(&share), "{share}");
        let numbers = arrived
            .iter()
            .map(|(_, packet)| u32::from_be_bytes(packet[..4].try_into().unwrap()));
        let numbers: Vec<_> = numbers.collect();
        numbers
            .windows(2)
            .filter(|pair| pair[1] - pair[0] > 1)
            .count()
    };
    // As many are lost, in a third of the gaps or fewer.
    assert!(runs(5.0) * 3 < runs(1.0));
}

#[test]
fn a_packet_that_is_kept_back_is_passed() {
    let (arrived, tally) = arrivals(7, 1000, &faults(|f| f.reorder = 0.25));
    assert!((200..300).contains(&tally.kept_back));
    assert_eq!(arrived.len(), 1000);
    assert!(arrived.windows(2).any(|pair| pair[0].1 > pair[1].1));
}

#[test]
fn a_duplicate_is_the_same_packet_once_more() {
    let (mut arrived, tally) = arrivals(7, 1000, &faults(|f| f.duplicate = 0.5));
    assert_eq!(arrived.len() as u64, 1000 + tally.duplicated);
    arrived.dedup_by(|next, before| next.1 == before.1);
    assert_eq!(arrived.len(), 1000);
}

#[test]
fn a_rate_spaces_packets_out_and_a_full_queue_drops_them() {
    // 100 bytes take 8 ms at 100 kbit/s, and one comes each millisecond.
    let (arrived, tally) = arrivals(7, 1000, &faults(|f| f.rate = 100_000));
    assert!(
        arrived
            .windows(2)
            .all(|pair| pair[1].0 - pair[0].0 >= ms(8))
    );
    assert!(tally.queue_full > 800, "{tally:?}");
    let (_, tally) = arrivals(
        7,
        1000,
        &faults(|f| (f.rate, f.queue) = (100_000, ms(9000))),
    );
    assert_eq!(tally.queue_full, 0);
}

#[test]
fn a_corrupted_packet_differs_by_a_bit() {
    let (arrived, tally) = arrivals(7, 1000, &faults(|f| f.corrupt = 0.1));
    let flipped = (0..).zip(&arrived).map(|(number, (_, packet))| {
        let both = packet.iter().zip(numbered(number));
        both.map(|(got, sent)| (got ^ sent).count_ones())
            .sum::<u32>()
    });
    let flipped: Vec<_> = flipped.collect();
    assert!(flipped.iter().all(|bits| *bits <= 1));
    assert_eq!(flipped.iter().sum::<u32>() as u64, tally.corrupted);
    assert!((50..150).contains(&tally.corrupted));
}

#[test]
fn what_is_on_the_way_is_bounded() {
    let mut way = Way::new(7, 0);
    let slow = faults(|faults| faults.delay = ms(1000));
    for _ in 0..PACKETS_MAX + 10 {
        way.send(Duration::ZERO, vec![], &slow);
    }
    assert_eq!(way.tally.queue_full, 10);
}
