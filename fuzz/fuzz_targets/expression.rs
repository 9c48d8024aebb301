//! The parser of set expressions: no panic, and what it accepts it can evaluate; NOT turns the sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tombolo_search::{Cursor, Expression, Term};

fuzz_target!(|text: &str| {
    let _ = text.parse::<Cursor>();
    let Ok(expression) = Expression::parse(text) else { return };
    let odds = |term: &Term| match term {
        Term::Words(words) => words.len() as f32 - 5.0,
        Term::Image(name) => 3.0 - name.len() as f32,
    };
    let member = expression.log_odds(&odds);
    assert!(member.is_finite());
    assert_eq!(Expression::Not(Box::new(expression)).log_odds(&odds), -member);
});
