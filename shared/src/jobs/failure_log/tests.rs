use super::*;

#[test]
fn one_failure_in_ten_seconds_is_told_and_says_how_many_were_not() {
    let began = Instant::now();
    let mut complaints = FailureLog::default();
    let told: Vec<Option<u32>> = [0, 1, 9, 10, 11, 25, 100]
        .map(|seconds| complaints.note(began + Duration::from_secs(seconds)))
        .into();
    assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1), Some(0)]);
}
