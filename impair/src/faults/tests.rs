//! Values with their units, and every option by its name.

use super::*;

#[test]
fn values_are_read_with_their_units() {
    assert_eq!(duration("150ms"), Ok(Duration::from_millis(150)));
    assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
    assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
    assert_eq!(share("5%"), Ok(0.05));
    assert_eq!(rate("100mbit"), Ok(100_000_000));
    assert_eq!(rate("0"), Ok(0));
}

#[test]
fn values_out_of_range_are_refused() {
    for text in ["3", "3h", "ms", "-1s", "NaNs", "infs", "2000min"] {
        assert!(duration(text).is_err(), "{text}");
    }
    for text in ["5", "101%", "-1%", "%", "NaN%"] {
        assert!(share(text).is_err(), "{text}");
    }
    for text in ["fast", "10mb", "-1mbit", "2000gbit"] {
        assert!(rate(text).is_err(), "{text}");
    }
}

#[test]
fn every_option_is_a_fault_that_can_be_set() {
    use clap::{Args, Command};
    let command = Faults::augment_args(Command::new("faults"));
    for option in command.get_arguments() {
        let name = option.get_long().unwrap();
        let mut faults = Faults::default();
        let values = ["5%", "7s", "9", "on"];
        let set = values.iter().any(|value| faults.set(name, value).is_ok());
        assert!(set && faults != Faults::default(), "{name}");
    }
    assert!(Faults::default().set("nothing", "1").is_err());
}
