use super::{has_pages, problem};

#[test]
fn every_problem_has_its_page() {
    assert_eq!(has_pages(problem::ALL, &[]), Ok(()));
}
