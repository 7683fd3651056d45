//! Sending a mail and finding out what became of one.
//!
//! A crash or a lost answer after the final dot leaves an action unknown. It is settled as *happened* when the mail is
//! found in the folder of sent mail by its Message-ID, which is made from the action's id. Not finding it proves nothing,
//! because not every server files what it accepts: then a person settles it, and nothing sends it again by itself.

use crate::{
    Account, Address, Login, Patience, Written,
    imap::{Folder, Mailroom},
    smtp::{self, Delivery},
};
use bailiwick_core::{ActionResult, Content, Failure, FailureCode, Outcome, ToolAnswer};
use bailiwick_outbound::Trust;
use bailiwick_types::Millis;

/// How long a server may take to answer the final dot. RFC 5321 (section 4.5.3.2.6) asks for ten minutes; who waits here
/// is a turn, and *unknown* is a fair answer after two.
pub const ANSWER: Millis = Millis(120_000);

/// How long a copy or a look into the mailbox may take beside the sending itself.
const BESIDE: Millis = Millis(15_000);

/// What the mailbox knows about a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookedUp {
    /// It was sent: it is in this folder.
    Found { folder: String },
    /// It is not among the sent ones. It may have been sent all the same.
    NotFound,
}

/// Sends `written` from `from`, once. `patience` is for everything before the final dot.
pub async fn send(
    account: &Account,
    login: Option<&Login>,
    from: &Address,
    written: &Written,
    trust: &Trust,
    patience: &Patience,
    answer: Millis,
) -> Outcome {
    let Some(server) = &account.smtp else {
        return failed(FailureCode::InvalidRequest, "the connector has no `smtp`, so it cannot send");
    };
    let delivery = smtp::deliver(server, login, from, written, trust, patience, answer).await;
    let id = &written.message_id;
    match delivery {
        Delivery::NotAccepted(failure) => Outcome::Failed { failure },
        Delivery::Accepted { .. } => {
            let to: Vec<&str> = written.recipients.iter().map(Address::as_str).collect();
            let copy = keep_copy(account, login, written, trust, patience).await;
            confirmed(format!("Sent to {}. Message-ID: {id}.{copy}", to.join(", ")))
        }
        Delivery::Unknown(reason) => match look_up(account, login, id, trust, &patience.firm(BESIDE)).await {
            Ok(LookedUp::Found { folder }) => confirmed(format!(
                "Sent: the answer of the mail server was lost, and the mail was found in `{folder}`. Message-ID: {id}."
            )),
            Ok(LookedUp::NotFound) => {
                Outcome::Unknown { reason: format!("{reason}; {id} is not (yet) in the folder of sent mail") }
            }
            Err(_) => Outcome::Unknown { reason: format!("{reason}; the folder of sent mail could not be looked at") },
        },
    }
}

/// Looks for the mail with this Message-ID in the folder of sent mail.
pub async fn look_up(
    account: &Account,
    login: Option<&Login>,
    message_id: &str,
    trust: &Trust,
    patience: &Patience,
) -> Result<LookedUp, Failure> {
    let Some(server) = &account.imap else {
        return Err(Failure::new(
            FailureCode::InvalidRequest,
            "the connector has no `imap`, so nothing can be looked up",
        ));
    };
    let mut room = Mailroom::open(server, login, trust, patience).await?;
    let folder = sent_folder(account, &mut room).await?;
    let found = room.holds(&folder, message_id).await?;
    room.close().await;
    Ok(if found { LookedUp::Found { folder } } else { LookedUp::NotFound })
}

/// Puts a copy into the folder of sent mail, unless the server did. What comes of it is said, and changes nothing about
/// the mail: that was sent.
async fn keep_copy(
    account: &Account,
    login: Option<&Login>,
    written: &Written,
    trust: &Trust,
    patience: &Patience,
) -> String {
    let (true, Some(server)) = (account.sent.copy, &account.imap) else { return String::new() };
    let patience = patience.firm(BESIDE);
    let kept = async {
        let mut room = Mailroom::open(server, login, trust, &patience).await?;
        let folder = sent_folder(account, &mut room).await?;
        if !room.holds(&folder, &written.message_id).await? {
            room.append(&folder, &written.bytes).await?;
        }
        room.close().await;
        Ok::<String, Failure>(folder)
    };
    match kept.await {
        Ok(folder) => format!(" A copy is in `{folder}`."),
        Err(failure) => format!(" No copy could be kept: {}.", failure.message),
    }
}

async fn sent_folder(account: &Account, room: &mut Mailroom) -> Result<String, Failure> {
    if let Some(folder) = &account.sent.folder {
        return Ok(folder.clone());
    }
    let marked = |folder: Folder| (folder.purpose == Some("sent")).then_some(folder.name);
    Ok(room.folders().await?.into_iter().find_map(marked).unwrap_or_else(|| "Sent".into()))
}

pub(crate) fn confirmed(text: String) -> Outcome {
    let answer = ToolAnswer { content: vec![Content::text(text)], ..ToolAnswer::default() };
    Outcome::Confirmed { result: ActionResult::Tool(answer) }
}

pub(crate) fn failed(code: FailureCode, text: &str) -> Outcome {
    Outcome::Failed { failure: Failure::new(code, text) }
}
