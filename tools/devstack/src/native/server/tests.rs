//! A start is tried again when a port was taken, and fails at once for any other reason.

use std::{cell::RefCell, net::TcpListener, path::PathBuf};

use super::*;
use crate::StackPart;

fn launch(folder: PathBuf, arguments: &[&str]) -> LaunchCommand {
    LaunchCommand {
        part: StackPart::Ui,
        program: "python3".into(),
        arguments: arguments.iter().map(ToString::to_string).collect(),
        environment: Vec::new(),
        folder,
        user: None,
    }
}

#[tokio::test]
async fn a_server_whose_port_was_taken_is_started_on_another() {
    let workspace = ServerFolder::new().unwrap();
    let folder = workspace.folder("web").unwrap();
    let quicker = RefCell::new(Vec::new());
    let (_server, [port, _]) = NativeServer::start(&workspace, |[port, _]| {
        if quicker.borrow().is_empty() {
            quicker.borrow_mut().push(TcpListener::bind(("127.0.0.1", port)).unwrap());
        }
        let port = port.to_string();
        let launch = launch(folder.clone(), &["-m", "http.server", &port, "--bind", "127.0.0.1"]);
        Ok((launch, ServerProbe::Http { address: format!("127.0.0.1:{port}"), path: "/" }))
    })
    .await
    .unwrap();
    assert_ne!(port, quicker.borrow()[0].local_addr().unwrap().port());
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_reported_with_its_last_words() {
    let workspace = ServerFolder::new().unwrap();
    let folder = workspace.folder("web").unwrap();
    let starts = RefCell::new(0);
    let failed = NativeServer::start(&workspace, |[port, _]| {
        *starts.borrow_mut() += 1;
        let launch = launch(folder.clone(), &["-c", "raise SystemExit('I have had enough')"]);
        Ok((launch, ServerProbe::Http { address: format!("127.0.0.1:{port}"), path: "/" }))
    })
    .await
    .unwrap_err();
    assert!(failed.to_string().contains("I have had enough"), "{failed}");
    assert_eq!(*starts.borrow(), 1);
}
