package verify

// What has to be absent for words about the mailbox to be about it: a text that
// names our address, our sender, how much we ask, or another domain says
// nothing about the mailbox, with any other words beside.
const aboutElse = aboutUs | aboutSender | tooFast | tooManyRecipients | aboutDomain | aboutOthers | restricted

// What has to be absent for an enhanced code to decide without words that mean the
// same, and a mailbox has to be named: hosts put 5.1.1 on refusals of messages, of
// clients, and of all mail while they have trouble, too.
const codeAlone = aboutMessage | hostTrouble

// Codes that a host may refuse a mailbox with. The others are about a command
// (RFC 5321 §4.2.3).
const refusals = "51 52 54 550 551 552 553 554 556 557 558 559 57 59"

// rules is the table from a reply to its meaning. The first row that holds
// decides, so the order is part of it: what names us comes first, then words
// about the mailbox, then enhanced codes about it, then words that could be
// about either, then codes; and a 5xx without any word that is known is a
// refusal that could mean anything.
var rules = []rule{
	// Any stage: the host hangs up (RFC 5321 §3.8), or wants TLS (RFC 3207 §4).
	{stages: anyStage, codes: "421", says: aboutUs | aboutUsPerhaps, finding: finding{Unknown, Blocked, hangUp}},
	{stages: anyStage, codes: "421", finding: finding{Unknown, Temporary, hangUp}},
	{stages: atMail | atRcpt, codes: "530 4 5", says: wantsTLS, finding: finding{Unknown, NeedsTLS, settle}},
	{stages: atMail | atRcpt, codes: "5 4", enhanced: "x.7.10", finding: finding{Unknown, NeedsTLS, settle}},

	// Before MAIL: all of it is about us, except that a host may take no mail
	// from anyone (RFC 7504 §3).
	{stages: atConnect | atHello, codes: "521", says: noMailHere | wordless, silent: aboutUs | aboutUsPerhaps | tooFast | aboutSender, finding: finding{Invalid, NoMailHost, settle}},
	{stages: atConnect | atHello, codes: "4", says: aboutUs | aboutUsPerhaps, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atConnect | atHello, codes: "4", finding: finding{Unknown, Temporary, nextSession}},
	{stages: atConnect | atHello, codes: "5", says: tooFast | limitPerhaps, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atConnect | atHello, codes: "5", finding: finding{Unknown, Blocked, settle}},

	// MAIL: about us or our sender.
	{stages: atMail, codes: "2", finding: finding{Valid, Accepted, settle}},
	{stages: atMail, codes: "4", says: greylisting, finding: finding{Unknown, Greylisted, settle}},
	{stages: atMail, codes: "4 5", says: tooFast | limitPerhaps, finding: finding{Unknown, Temporary, nextSession}},
	{stages: atMail, codes: "4", says: aboutUs | aboutUsPerhaps, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atMail, codes: "4", finding: finding{Unknown, Temporary, nextSession}},
	{stages: atMail, codes: "503", finding: finding{Unknown, ProtocolError, nextSession}},
	{stages: atMail, codes: "5", says: aboutSender, finding: finding{Unknown, SenderRefused, nextSession}},
	{stages: atMail, codes: "5", enhanced: "5.1.7 5.1.8", finding: finding{Unknown, SenderRefused, nextSession}},
	{stages: atMail, codes: "5", says: aboutUs | aboutUsPerhaps, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atMail, codes: "5", finding: finding{Unknown, SenderRefused, nextSession}},

	// RCPT: accepted (RFC 5321 §4.3.2 allows these two).
	{stages: atRcpt, codes: "250 251", finding: finding{Valid, Accepted, settle}},

	// RCPT: the transaction is full. The words count more than the code, as
	// servers send 450, 451, 452, 550 and 552 for it.
	{stages: atRcpt, codes: "4 5", enhanced: "x.5.3", finding: finding{Unknown, Policy, nextTransaction}},
	{stages: atRcpt, codes: "4 5", says: tooManyRecipients, finding: finding{Unknown, Policy, nextTransaction}},

	// RCPT: a mailbox or group that takes mail from some only, or no more just now.
	{stages: atRcpt, codes: "4 5", says: receivesTooMuch, finding: finding{Unknown, Temporary, settle}},
	{stages: atRcpt, codes: "5", enhanced: "5.7.2 5.7.124 5.7.129 5.7.130 5.7.133 5.7.134 5.7.135 5.7.136", finding: finding{Unknown, Restricted, settle}},

	{stages: atRcpt, codes: "4 5", says: refusesUs, silent: tooFast | noSuchMailbox, finding: finding{Unknown, Restricted, settle}},

	// RCPT: the host could not reach another one that knows its mailboxes.
	{stages: atRcpt, codes: "4", words: []string{"connect to "}, silent: noSuchMailbox, finding: finding{Unknown, Temporary, unclear}},

	// RCPT: Exchange Online's word for a mailbox its directory does not have.
	{stages: atRcpt, codes: "550", enhanced: "5.4.1", words: []string{"recipient address rejected access denied "}, finding: finding{Invalid, NoSuchUser, settle}},

	// RCPT: greylisting, by name.
	{stages: atRcpt, codes: "4", says: greylisting, finding: finding{Unknown, Greylisted, putOff}},

	// RCPT: it names us, with any other words beside.
	{stages: atRcpt, codes: "4 5", says: tooFast, finding: finding{Unknown, Temporary, nextSession}},
	{stages: atRcpt, codes: "4 5", enhanced: "x.1.7 x.1.8", finding: finding{Unknown, SenderRefused, settle}},
	{stages: atRcpt, codes: "4 5", says: aboutSender, finding: finding{Unknown, SenderRefused, settle}},
	{stages: atRcpt, codes: "4 5", says: aboutUs, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atRcpt, codes: "5", says: restricted, finding: finding{Unknown, Restricted, settle}},

	// RCPT: the host has no room, which says nothing about the mailbox.
	{stages: atRcpt, codes: "4 5", says: hostFull, silent: namesMailbox | noSuchMailbox, finding: finding{Unknown, Temporary, settle}},

	// RCPT: the mailbox is full. It exists, and the host says so about it.
	{stages: atRcpt, codes: "4 5", enhanced: "x.2.2", says: named, silent: noSuchMailbox | codeAlone, finding: finding{Risky, MailboxFull, settle}},
	{stages: atRcpt, codes: "4 5", says: fullMailbox, finding: finding{Risky, MailboxFull, settle}},
	{stages: atRcpt, codes: "4 5", enhanced: "x.2.2", says: named, silent: codeAlone, finding: finding{Risky, MailboxFull, settle}},

	// RCPT: how our question went, or where the host could not ask on.
	{stages: atRcpt, codes: "5", says: aboutDomain | aboutOthers, finding: finding{Unknown, Policy, settle}},
	{stages: atRcpt, codes: "556", enhanced: "5.1.10", finding: finding{Invalid, NoMailHost, settle}}, // RFC 7505 §4.2
	{stages: atRcpt, codes: "5", enhanced: "5.4.*", silent: noSuchMailbox, finding: finding{Unknown, Policy, settle}},
	{stages: atRcpt, codes: "5", says: limitPerhaps, finding: finding{Unknown, Policy, settle}},

	// RCPT, permanent: words about the mailbox win over what follows.
	{stages: atRcpt, codes: refusals, says: closedMailbox, silent: forNow, finding: finding{Invalid, MailboxDisabled, settle}},
	{stages: atRcpt, codes: refusals, says: noSuchMailbox, silent: closedMailbox, finding: finding{Invalid, NoSuchUser, settle}},
	{stages: atRcpt, codes: "5", says: closedMailbox, finding: finding{Unknown, Temporary, settle}},

	// RCPT, permanent: the enhanced code alone.
	{stages: atRcpt, codes: refusals, enhanced: "5.1.1 5.1.10", says: named, silent: aboutUsPerhaps | codeAlone, finding: finding{Invalid, NoSuchUser, settle}},
	{stages: atRcpt, codes: refusals, enhanced: "5.7.13", says: named, silent: codeAlone, finding: finding{Invalid, MailboxDisabled, settle}},
	{stages: atRcpt, codes: "5", says: aboutUsPerhaps, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atRcpt, codes: "5", says: noRelay | byPolicy | hostTrouble, finding: finding{Unknown, Policy, settle}},
	{stages: atRcpt, codes: refusals, enhanced: "5.1.6", says: named, silent: codeAlone, finding: finding{Invalid, NoSuchUser, settle}},
	{stages: atRcpt, codes: refusals, enhanced: "5.2.1", says: named, silent: codeAlone, finding: finding{Invalid, MailboxDisabled, settle}},
	{stages: atRcpt, codes: "5", enhanced: "5.7.*", finding: finding{Unknown, Policy, settle}},

	// RCPT, permanent: words that are used for much else, and none at all.
	{stages: atRcpt, codes: "550 551 553 554", says: noMailboxPerhaps, silent: forNow, finding: finding{Invalid, NoSuchUser, perhaps}},
	{stages: atRcpt, codes: "503", finding: finding{Unknown, ProtocolError, nextSession}},
	{stages: atRcpt, codes: "5", says: wordless, finding: finding{Unknown, Policy, settle}},
	{stages: atRcpt, codes: "5", enhanced: "5.1.3 5.3.* 5.5.* 5.6.*", finding: finding{Unknown, Policy, settle}},
	{stages: atRcpt, codes: "550 551 553 554", finding: finding{Unknown, Policy, unclear}},
	{stages: atRcpt, codes: "5", finding: finding{Unknown, Policy, settle}},

	// RCPT, temporary: 452 is the transaction's limit where others were taken
	// before (RFC 5321 §4.5.3.1.10); the session knows. Trouble of the host's
	// own (X.3, X.4) is temporary; the rest is how greylisting looks.
	{stages: atRcpt, codes: "4", says: aboutUsPerhaps, silent: noSuchMailbox, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atRcpt, codes: "452", enhanced: "4.3.*", finding: finding{Unknown, Temporary, settle}},
	{stages: atRcpt, codes: "452", words: []string{"system storage ", "disk "}, finding: finding{Unknown, Temporary, settle}},
	{stages: atRcpt, codes: "452", finding: finding{Unknown, Temporary, nextTransaction}},
	{stages: atRcpt, codes: "4", says: noSuchMailbox, silent: aboutElse | limitPerhaps, finding: finding{Unknown, Greylisted, softUnknown}},
	{stages: atRcpt, codes: "4", enhanced: "4.3.* 4.4.*", finding: finding{Unknown, Temporary, unclear}},
	{stages: atRcpt, codes: "450 451", finding: finding{Unknown, Greylisted, unclear}},
	{stages: atRcpt, codes: "4", finding: finding{Unknown, Temporary, unclear}},
}
