//! SIGKILL at any moment: nothing acknowledged is lost, nothing is half there.
//!
//! A binary of its own: between fork and exec a child holds its parent's locks,
//! which other tests would find taken.

#[cfg(test)]
mod kill {
    use std::io::{BufRead, BufReader, Write};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use sluice_store::{Batch, Sealing, Store, Table};

    const LEFT: Table = Table::new("left", Sealing::Open);
    const RIGHT: Table = Table::new("right", Sealing::Sealed);
    const FOLDER: &str = "SLUICE_STORE_KILL_TEST_FOLDER";

    fn open(folder: &Path) -> Store {
        Store::open(&folder.join("data"), &folder.join("secrets.key")).unwrap()
    }

    /// Not a test of its own: the process that is killed. Writes pairs of records
    /// from where it left off, four commits in flight, and tells each answer.
    #[test]
    fn child_that_is_killed() {
        let Ok(folder) = std::env::var(FOLDER) else { return };
        let store = open(Path::new(&folder));
        let mut next = store.scan(LEFT).unwrap().len() as u64;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        loop {
            let commits: Vec<_> = (next..next + 4).map(|i| (i, store.commit(pair(i)))).collect();
            next += 4;
            for (i, commit) in commits {
                runtime.block_on(commit).unwrap();
                writeln!(std::io::stdout(), "acknowledged {i}").unwrap();
            }
        }
    }

    fn pair(i: u64) -> Batch {
        let mut batch = Batch::new();
        batch.put(LEFT, &i.to_be_bytes(), &[1; 200]).put(RIGHT, &i.to_be_bytes(), &[2; 200]);
        batch
    }

    /// Kills the child after `count` answers; gives back the last one read.
    fn run_and_kill(folder: &Path, count: usize) -> u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child_that_is_killed", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut answers = Vec::new();
        // The harness may print on the same line as the first answer.
        let number = |line: &str| line.split_once("acknowledged ").map(|(_, n)| n.parse::<u64>().unwrap());
        while answers.len() < count {
            answers.extend(number(&lines.next().unwrap().unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What was still in the pipe had been acknowledged as well; a last line
        // without its end may be cut.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let whole = rest.len().saturating_sub(1);
        answers.extend(rest[..whole].iter().filter_map(|line| number(line)));
        *answers.last().unwrap()
    }

    #[test]
    fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut acknowledged = 0;
        for round in 0..8 {
            let last = run_and_kill(folder.path(), 40 + round * 13);
            assert!(last > acknowledged, "the child went on where it was killed");
            acknowledged = last;
            let store = open(folder.path());
            let (left, right) = (store.scan(LEFT).unwrap(), store.scan(RIGHT).unwrap());
            let keys =
                |pairs: &[(Vec<u8>, Vec<u8>)]| pairs.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>();
            assert_eq!(keys(&left), keys(&right), "a batch is whole or not there");
            let expected: Vec<_> = (0..left.len() as u64).map(|i| i.to_be_bytes().to_vec()).collect();
            assert_eq!(keys(&left), expected, "batches are there in order, without a hole");
            assert!(
                left.len() as u64 > acknowledged,
                "{acknowledged} was acknowledged, {} are there",
                left.len()
            );
        }
    }
}
