//! Floats against what the C library and Redis make of the same texts.

use super::read::{parse_decimal, parse_short};
use super::{Extended, Finite, LEAST, MOST, parse};

fn number(text: &str) -> Finite {
    match parse(text.as_bytes()) {
        Some(Extended::Finite(number)) => number,
        other => panic!("{text} is read as {other:?}"),
    }
}

fn shown(number: Finite) -> String {
    String::from_utf8(number.print().as_ref().to_vec()).unwrap()
}

fn sum(left: &str, right: &str) -> String {
    match number(left).plus(number(right)) {
        Extended::Finite(sum) => shown(sum),
        Extended::Infinite { negative } => format!("infinite {negative}"),
    }
}

#[test]
fn texts_are_read_as_the_c_library_reads_them() {
    for (text, mantissa, exponent) in [
        ("1", 1 << 63, -63),
        ("0x1p0", 1 << 63, -63),
        ("+0X.8P+1", 1 << 63, -63),
        ("1.", 1 << 63, -63),
        (".5", 1 << 63, -64),
        ("0.1", 0xcccc_cccc_cccc_cccd, -67),
        ("3.0e-1", 0x9999_9999_9999_999a, -65),
        ("18446744073709551615", u64::MAX, 0),
        // Halves go to the even side.
        ("18446744073709551616", 1 << 63, 1),
        ("36893488147419103231", 1 << 63, 2),
        ("36893488147419103229", u64::MAX - 1, 1),
        ("0x1.00000000000000010000000000000000000000000000001p0", (1 << 63) | 1, -63),
        ("0x1.00000000000000010000000000000000000000000000000p0", 1 << 63, -63),
        ("1.189731495357231765e4932", u64::MAX, MOST),
        ("3.6e-4951", 1, LEAST),
        ("1.9e-4951", 1, LEAST),
        ("3.3621031431120935063e-4932", 1 << 63, LEAST),
    ] {
        let Finite { mantissa: read, exponent: power, negative } = number(text);
        assert_eq!((read, power, negative), (mantissa, exponent, false), "{text}");
    }
    for zero in ["0", "-0", "+0.0", "0e99999999999", "0x0p-99999", "00000000000000000000000.000", ".0"] {
        assert_eq!(number(zero), Finite::zero(false), "{zero}");
    }
    for infinite in ["inf", "-Inf", "+INFINITY"] {
        let negative = infinite.starts_with('-');
        assert_eq!(parse(infinite.as_bytes()), Some(Extended::Infinite { negative }));
    }
}

#[test]
fn what_redis_does_not_read_is_refused() {
    for text in [
        "",
        " 1",
        "1 ",
        "\t1",
        "1\0",
        "x",
        "-",
        "+",
        ".",
        "-.",
        "e5",
        "1e",
        "1e+",
        "1e5.0",
        "1.2.3",
        "--1",
        "+-1",
        "0x",
        "0x.",
        "0xp1",
        "0x1p",
        "0x1p-",
        "0xg",
        "1p3",
        "nan",
        "-nan",
        "nan(1)",
        "infin",
        "infinityx",
        "1,5",
        "1_0",
        "1.2e4932",
        "1e4933",
        "1e99999999999999999999",
        "1.8e-4951",
        "1e-4952",
        "1e-9999999999999",
        "0x1p16384",
        "0x1p-16446",
        "0x1p-99999999999",
        "0x1.ffffffffffffffffp16383",
    ] {
        assert_eq!(parse(text.as_bytes()), None, "{text:?}");
    }
    let long = vec![b'1'; 5120];
    assert_eq!((parse(&long), parse(&long[..4000]).is_some()), (None, true));
}

#[test]
fn numbers_are_printed_with_17_decimals_at_most() {
    for (text, printed) in [
        ("0", "0"),
        ("-0", "0"),
        ("10", "10"),
        ("0.1", "0.1"),
        ("-1.50", "-1.5"),
        ("5e3", "5000"),
        ("1e-17", "0.00000000000000001"),
        ("0.5e-17", "0"),
        ("-0.4e-17", "0"),
        ("0.6e-17", "0.00000000000000001"),
        ("2.5e-17", "0.00000000000000002"),
        ("3.5e-17", "0.00000000000000004"),
        ("0.99999999999999999999", "1"),
        ("123456789012345678.9", "123456789012345678.8984375"),
        ("1e40", "9999999999999999999783686092270256259072"),
        ("1e-4940", "0"),
    ] {
        assert_eq!(shown(number(text)), printed, "{text}");
    }
}

#[test]
fn sums_are_rounded_once() {
    for (left, right, expected) in [
        ("0.1", "0.2", "0.3"),
        ("3.0", "1.1", "4.1"),
        ("1", "-1", "0"),
        ("-0", "-0", "0"),
        ("1e19", "0.5", "10000000000000000000"),
        ("18446744073709551615", "1", "18446744073709551616"),
        ("18446744073709551616", "-1", "18446744073709551615"),
        ("1e30", "-1e30", "0"),
        ("1", "1e-30", "1"),
        ("1", "-1e-4940", "1"),
        ("1.18e4932", "1.18e4932", "infinite false"),
        ("-1.18e4932", "-1.18e4932", "infinite true"),
        ("9223372036854775807", "1", "9223372036854775808"),
    ] {
        assert_eq!(sum(left, right), expected, "{left} + {right}");
        assert_eq!(sum(right, left), expected, "{right} + {left}");
    }
    assert_eq!(Finite::from(i64::MIN), number("-9223372036854775808"));
}

#[test]
fn the_short_way_leads_where_the_long_one_does() {
    let mut state = 1_u64;
    for _ in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let digits = (state >> 20).to_string();
        let (whole, part) = digits.split_at(usize::try_from(state % 7).unwrap().min(digits.len()));
        let exponent = i32::try_from((state >> 8) % 9).unwrap() - 4;
        let text = format!("{whole}.{part}");
        let short = parse_short(false, text.as_bytes(), exponent);
        // A zero too many for the short way's 19 digits changes nothing.
        let long = format!("0{text}00000000000000000000e{exponent}");
        assert!(parse_short(false, &long.as_bytes()[..long.len() - 3], exponent).is_none());
        let long = parse_decimal(false, long.as_bytes());
        assert!(short.is_some() && short == long, "{text}e{exponent}: {short:?}, not {long:?}");
    }
}

#[test]
fn numbers_are_ordered() {
    let texts = ["-1e4932", "-2", "-1.5", "-1e-4950", "0", "1e-4950", "1e-4000", "0.5", "1", "1.25", "1e300"];
    for (at, left) in texts.iter().enumerate() {
        for (other, right) in texts.iter().enumerate() {
            assert_eq!(number(left).cmp(&number(right)), at.cmp(&other), "{left} and {right}");
        }
    }
    assert_eq!(number("-0").cmp(&number("0")), std::cmp::Ordering::Equal);
}
