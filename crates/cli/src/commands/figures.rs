//! Money and counts in words.

/// A count with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Millionths as dollars: cents, and what is less where there is any.
pub(crate) fn dollars(micros: u64) -> String {
    let fraction = format!("{:06}", micros % 1_000_000);
    let (cents, less) = fraction.split_at(2);
    format!("{}.{cents}{}", grouped(micros / 1_000_000), less.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_cents_and_what_is_less_if_there_is_any() {
        let shown = [0, 1, 4_400, 500_000, 1_250_000, 1_234_567_890_000].map(dollars);
        assert_eq!(shown, ["0.00", "0.000001", "0.0044", "0.50", "1.25", "1,234,567.89"]);
    }
}
