use proptest::prelude::*;

use super::*;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn read(text: &str) -> Option<String> {
    TraceState::parse(text).map(|state| state.as_str().to_owned())
}

#[test]
fn what_vendors_have_added_is_passed_on_in_its_order() {
    let text = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,fw529a3039@dt=FfDqSmQ;a:b,a/b*c_d-e= x y";
    assert_eq!(read(text).as_deref(), Some(text));
    assert_eq!(read(" rojo=1 ,\t,congo=2,").as_deref(), Some("rojo=1,congo=2"));
}

#[test]
fn what_is_no_tracestate_is_dropped() {
    let many: Vec<String> = (0..33).map(|n| format!("v{n}=1")).collect();
    let (long_key, long_value) =
        (format!("{}=1", "k".repeat(257)), format!("k={}", "1".repeat(257)));
    for text in [
        "",
        " ",
        ",",
        "rojo",
        "rojo=",
        "=1",
        "Rojo=1",
        "ro jo=1",
        "_rojo=1",
        "rojo=1,rojo=2",
        "rojo=1=2",
        "rojo=\u{e4}",
        "rojo=1\n2",
        &many.join(","),
        &long_key,
        &long_value,
    ] {
        assert_eq!(read(text), None, "{text:?}");
    }
    assert!(read(&many[..32].join(",")).is_some());
}

#[test]
fn of_what_is_too_long_whole_members_are_left_out_and_long_ones_first() {
    let member = |key: &str, chars: usize| format!("{key}={}", "x".repeat(chars - key.len() - 1));
    let fits = [member("a", 255), member("b", 256)].join(",");
    assert_eq!(fits.len(), CHARS_MAX);
    assert_eq!(read(&fits), Some(fits.clone()));
    assert_eq!(read(&format!("{fits},c=1")).as_deref(), Some("c=1"));

    let short: Vec<String> =
        ["a", "b", "c", "d", "e"].into_iter().map(|key| member(key, 120)).collect();
    assert_eq!(read(&short.join(",")), Some(short[..4].join(",")));
    let one_is_long = [&short[..2], &[member("z", 200)], &short[2..4]].concat();
    assert_eq!(read(&one_is_long.join(",")), Some(short[..4].join(",")));
}

#[test]
fn a_tracestate_needs_its_traceparent_and_a_bad_one_does_not_cost_it() {
    assert_eq!(TraceContext::parse("00-xyz", Some("rojo=1")), None);
    let parent = TraceParent::parse(PARENT).unwrap();
    assert_eq!(TraceContext::parse(PARENT, Some("Rojo")), Some(parent.into()));
    assert_eq!(TraceContext::parse(PARENT, None), Some(parent.into()));
    let whole = TraceContext::parse(PARENT, Some("rojo=1")).unwrap();
    assert_eq!((whole.parent, whole.state), (parent, TraceState::parse("rojo=1")));
}

proptest! {
    #[test]
    fn whatever_comes_is_dropped_or_short_enough_and_read_back_the_same(
        text in "([a-zA-Z0-9_=, \\-]{0,90},?){0,12}",
    ) {
        if let Some(read_once) = read(&text) {
            prop_assert!(read_once.len() <= CHARS_MAX);
            prop_assert_eq!(read(&read_once), Some(read_once));
        }
    }
}
