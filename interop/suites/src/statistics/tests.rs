//! Statistics by hand.

use super::*;

#[test]
fn quartiles_are_interpolated_and_outliers_set_apart() {
    let samples = vec![100.0, 1.0, 2.0, 3.0, 4.0];
    let found = Statistics::of(samples).unwrap();
    assert_eq!((found.q1, found.median, found.q3), (2.0, 3.0, 4.0));
    assert_eq!((found.min, found.max), (1.0, 4.0));
    assert_eq!(found.outliers, [100.0]);
    let even = Statistics::of(vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    assert_eq!((even.q1, even.median, even.q3), (1.75, 2.5, 3.25));
    assert_eq!((even.min, even.max), (1.0, 4.0));
}

#[test]
fn one_sample_is_everything_and_none_is_nothing() {
    let one = Statistics::of(vec![5.0]).unwrap();
    assert_eq!((one.min, one.median, one.max), (5.0, 5.0, 5.0));
    assert_eq!(Statistics::of(Vec::new()), None);
}

#[test]
fn the_block_is_the_one_that_the_suite_reads() {
    let block = Statistics::of(vec![2.0, 1.0])
        .unwrap()
        .block("upload", "Gbps", 2);
    let wanted = "upload:\n  iterations: 2\n  min: 1.00\n  q1: 1.25\n  median: 1.50\n  q3: 1.75\n  max: 2.00\n  \
                  outliers: []\n  samples: [1.00, 2.00]\n  unit: Gbps\n";
    assert_eq!(block, wanted);
}
