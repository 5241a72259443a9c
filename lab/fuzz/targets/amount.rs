//! Amounts: no text panics, and what is read is what was written.

#![no_main]

use florin_ledger::{Decimal, ErrorCode, LIMIT, Scale};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(decimal) = text.parse::<Decimal>() else { return };
    assert!(decimal.to_string().len() < 100);
    for places in 0..=Scale::MAX {
        let scale = Scale::new(places).expect("a scale");
        match decimal.to_minor(scale) {
            Ok(units) => {
                assert!(units.abs() < LIMIT);
                assert_eq!(units > 0, decimal.is_positive());
                let back = Decimal::from_minor(units, scale);
                assert_eq!(back, decimal);
                assert_eq!(back.to_string().parse(), Ok(decimal));
            }
            Err(code) => {
                assert!(matches!(code, ErrorCode::AmountTooPrecise | ErrorCode::AmountOutOfRange));
            }
        }
    }
});
