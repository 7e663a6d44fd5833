//! An existing folder is complete, whichever process made it and whichever failed to make it.

use tempfile::TempDir;

use super::*;
use crate::SilentProgress;

const RECIPE: InstallRecipe<'_> =
    InstallRecipe { part: Some(StackPart::Mail), name: "thing-1.0", inputs: &["input"] };

fn cache(root: &TempDir) -> InstallCache<'static> {
    InstallCache { root: root.path().to_owned(), progress: &SilentProgress }
}

fn fill(folder: &Path) -> Result<(), StackError> {
    let file = folder.join("whole");
    fs::write(&file, "").map_err(StackError::path("write", &file))
}

#[tokio::test]
async fn what_is_there_is_not_made_again() {
    let root = TempDir::new().unwrap();
    let first = cache(&root).folder(&RECIPE, async |folder| fill(folder)).await.unwrap();
    let made_again = async |_: &Path| -> Result<(), StackError> { panic!("it is there") };
    let second = cache(&root).folder(&RECIPE, made_again).await.unwrap();
    assert_eq!(first, second);
    assert!(second.join("whole").exists());
}

#[tokio::test]
async fn another_input_makes_another_folder() {
    let root = TempDir::new().unwrap();
    let first = cache(&root).folder(&RECIPE, async |folder| fill(folder)).await.unwrap();
    let other = InstallRecipe { inputs: &["other"], ..RECIPE };
    let second = cache(&root).folder(&other, async |folder| fill(folder)).await.unwrap();
    assert_ne!(first, second);
}

#[tokio::test]
async fn what_was_left_half_done_is_thrown_away() {
    let root = TempDir::new().unwrap();
    let given_up = cache(&root)
        .folder(&RECIPE, async |folder| {
            fs::write(folder.join("half"), "").map_err(StackError::path("write", folder))?;
            Err(StackError::NoDocker)
        })
        .await;
    assert!(matches!(given_up, Err(StackError::NoDocker)));
    let folder = cache(&root).folder(&RECIPE, async |folder| fill(folder)).await.unwrap();
    assert!(folder.join("whole").exists());
    assert!(!folder.join("half").exists());
    let folders =
        fs::read_dir(root.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), 1);
}

#[tokio::test]
async fn two_that_want_the_same_make_it_once() {
    let root = TempDir::new().unwrap();
    let (one, other) = (cache(&root), cache(&root));
    let slowly = async |folder: &Path| {
        tokio::task::yield_now().await;
        fs::create_dir(folder.join("once")).map_err(StackError::path("make", folder))
    };
    let (one, other) = tokio::join!(one.folder(&RECIPE, slowly), other.folder(&RECIPE, slowly));
    assert_eq!(one.unwrap(), other.unwrap());
}
