package verify

// Phrases that rows share. They are words in lower case; see phrases.match.
var (
	// About us: our address is on a list, or has a bad name.
	saysBlocked = []string{
		"spamhaus", "barracudacentral", "spamcop", "sorbs", "uceprotect", "spamrats", "dnsbl*", "rbl*",
		"blocklist*", "blacklist*", "block list*", "black list*", "blocked using", "blocked by", "denylist*",
		"listed at", "listed by", "listed in", "listed on", "is listed", "was found in",
		"your ip*", "your host*", "your server*", "your network", "your mail server", "your domain", "your address",
		"your email", "your message*", "your account", "your organization", "your isp", "your provider",
		"sending ip*", "sender ip*", "client ip*", "ip address*", "connecting ip", "this ip", "from ip", "ip blocked", "ip is",
		"ip rejected", "ip banned", "from your", "client host*", "client rejected", "host rejected", "host blocked",
		"connection refused", "connection rejected", "connections from", "connection blocked",
		"banned", "blocked", "reputation*", "spam*", "unsolicited", "abuse*", "abusive", "suspicious*", "malicious*",
		"dynamic ip*", "residential", "ptr", "rdns", "reverse dns", "reverse lookup", "reverse hostname", "hostname*",
		"helo", "ehlo", "fcrdns", "geoip*", "dictionary attack", "harvest*", "directory attack",
		"firewall*", "untrusted", "not whitelisted", "whitelist*", "allowlist*",
	}
	// About us: we ask too much or too fast.
	saysTooFast = []string{
		"too many", "too much", "too fast", "too frequent*", "rate limit*", "ratelimit*", "rate exceeded", "rate limited",
		"unusual rate", "throttl*", "slow down", "limit exceeded", "limit reached", "limit for this session", "exceeded the limit",
		"exceeded limit", "exceeds limit", "maximum number", "max number", "sending limit*", "sending quota", "hourly", "per hour",
		"per minute", "daily limit", "connection limit*", "session limit*", "concurrent*", "error limit", "server busy",
		"recipient limit*", "message limit*", "message quota*",
	}
	// About this transaction: it has its fill of recipients (RFC 5321 §4.5.3.1.10).
	saysTooManyRecipients = []string{
		"too many recipients", "too many rcpt*", "too many recipients received this hour",
		"recipients limit*", "maximum number of recipients*", "max recipients*", "recipient limit*",
		"one recipient*", "single recipient", "only one recipient*", "multiple recipients", "number of recipients*",
		"multiple destination domains",
	}
	// About our sender.
	saysSender = []string{
		"sender*", "mail from", "return path*", "return address", "from address", "originator*", "envelope from",
		"spf*", "dkim*", "dmarc*", "callout*", "callback*", "backscatter*", "null reverse path", "bounce*",
	}
	// The host takes no mail for this domain, or not from strangers.
	saysRelay = []string{
		"relay*", "rcpthosts", "not permitted", "not a local domain", "not local", "authenticat*", "authoriz*", "unauthoriz*",
		"authoris*", "unauthoris*", "unauthenticat*", "auth", "login", "log in", "credentials",
		"not hosted", "domain not*", "domain unknown", "unknown domain", "domain is not*", "domain isn*", "no such domain",
		"domain does*", "domain rejected", "domain suspended", "domain disabled", "domain expired", "domain is*",
		"don t accept mail*", "do not accept mail*", "doesn t accept mail*", "does not accept mail*", "not configured",
		"not our*", "no mail service*",
	}
	// A rule of the host that says nothing about whether the mailbox exists.
	saysPolicy = []string{
		"policy", "policies", "prohibit*", "administrat*", "forbidden", "denied", "deny", "not allowed", "restrict*", "permission*",
		"not accepted from", "security", "refused by", "rejected by", "content", "virus*", "moderat*", "private", "internal use*",
		"internal only", "subscribers", "members only", "closed list", "temporar*", "try again*", "try later", "later",
		"retry*", "unable to verify", "could not verify", "cannot verify", "can t verify", "verification failed", "lookup failed",
		"lookup failure", "internal error", "local error", "server error", "system error", "ldap", "database", "timeout",
		"timed out", "misconfig*", "configuration", "out of service", "maintenance", "service unavailable",
		"service not available", "overload*", "busy",
	}
	// The mailbox has no room: RFC 3463 §3.3 X.2.2.
	saysFull = []string{
		"over quota", "overquota", "quota exceeded", "exceeded quota", "exceeded his quota", "exceeded its quota", "exceeded their quota",
		"exceeds quota", "exceeds the quota", "quota full", "quota is full", "quota reached", "out of quota", "quota violation",
		"mailbox full", "mailbox is full", "mailbox too full", "inbox full", "inbox is full", "mail box full", "mailfolder is full",
		"mailbox has exceeded*", "mailbox size limit*", "mailbox storage*", "out of storage*", "storage limit*", "storage quota*",
		"exceeded storage allocation", "full mailbox", "user is over*", "account is full", "account is over*", "no space left & mailbox",
		"mailbox quota*", "disk quota*", "user quota*",
	}
	// The mailbox exists and takes no mail: RFC 3463 §3.3 X.2.1.
	saysDisabled = []string{
		"account disabled", "account is disabled", "account has been disabled", "account inactive", "account is inactive",
		"account suspended", "account is suspended", "account has been suspended", "account locked", "account is locked",
		"account closed", "account is closed", "account has been closed", "account deactivated", "account has been deactivated",
		"account expired", "account has expired", "account is not active", "account not active",
		"mailbox disabled", "mailbox is disabled", "mailbox has been disabled", "mailbox inactive", "mailbox is inactive",
		"mailbox suspended", "mailbox is suspended", "mailbox has been suspended", "mailbox locked", "mailbox is locked",
		"mailbox closed", "mailbox is closed", "mailbox deactivated", "mailbox expired", "mailbox not active",
		"user disabled", "user is disabled", "user has been disabled", "user inactive", "user is inactive", "user suspended",
		"user is suspended", "user has been suspended", "user deactivated", "user account is disabled",
		"recipient disabled", "recipient is disabled", "recipient inactive", "recipient suspended", "recipient is suspended",
		"address disabled", "address is disabled", "address is no longer active", "address no longer active", "address is inactive",
		"email account that you tried to reach is disabled", "email account that you tried to reach is inactive",
		"no longer active", "disabled mailbox", "disabled account", "disabled user", "disabled recipient", "inactive user",
		"inactive mailbox", "inactive account", "inactive recipient", "suspended account", "suspended mailbox",
	}
	// The host does not know the mailbox: RFC 3463 §3.2 X.1.1.
	saysNoSuchUser = []string{
		"user unknown", "unknown user", "user is unknown", "user not found", "user not known", "user does not exist", "user doesn t exist",
		"user doesnt exist", "user is not found", "user could not be found", "user cannot be found", "user invalid", "invalid user",
		"not a known user", "not a valid user", "user not exist", "user not here", "user no longer*",
		"no such user*", "no such mailbox*", "no such recipient*", "no such address*", "no such account*", "no such person*",
		"no such local user*", "no such email*", "no such mail address", "no such name", "no such local*", "no such person at this address",
		"no such virtual user*", "there is no such*",
		"recipient unknown", "unknown recipient", "recipient not found", "recipient does not exist", "recipient doesn t exist",
		"recipient not exist", "invalid recipient*", "recipient invalid", "recipient is invalid", "not a valid recipient",
		"recipient not known", "recipientnotfound", "recipient could not be found", "recipient no longer*", "recipient is unknown",
		"mailbox unknown", "unknown mailbox", "mailbox not found", "mailbox does not exist", "mailbox doesn t exist", "mailbox unavailable",
		"mailbox not available", "mailbox not exist", "mailbox is unavailable", "invalid mailbox", "not a valid mailbox",
		"mailbox invalid", "no mailbox", "mailbox is not found", "mailbox could not be found",
		"address unknown", "unknown address", "address not found", "address does not exist", "address doesn t exist", "address not known",
		"address not exist", "bad destination mailbox*", "unrouteable address", "unroutable address", "undeliverable address",
		"address is unknown", "unknown email*", "address no longer*", "address is no longer*", "not a valid address",
		"account unknown", "unknown account", "account not found", "account does not exist", "account doesn t exist", "account not exist",
		"account that you tried to reach does not exist", "does not have an account", "doesn t have an account", "account no longer*",
		"user doesn t have a", "user does not have a", "unknown local part", "unknown local user", "local part unknown",
		"unknown or illegal alias", "unknown alias", "unknown or invalid recipient", "not listed in domino directory",
		"not listed in public name*", "not in our directory", "nobody here by that name", "nobody by that name",
		"no one by that name*", "person does not exist", "does not exist here", "doesn t exist here",
		"account & does not exist", "account & doesn t exist", "mailbox & does not exist", "mailbox & doesn t exist",
		"user & does not exist", "user & doesn t exist", "recipient & does not exist", "recipient & doesn t exist",
		"address & does not exist", "address & doesn t exist", "nonexistent user", "non existent user", "nonexistent mailbox", "nonexistent recipient",
		"non existent mailbox", "non existent recipient", "nonexistent address", "non existent address",
	}
	saysGreylisted = []string{
		"greylist*", "graylist*", "grey list*", "gray list*", "greylst*", "postgrey", "milter greylist", "sqlgrey", "come back*", "retry later",
	}
	saysTLS = []string{
		"starttls", "tls required", "requires tls", "require tls", "tls is required", "encryption required", "encryption is required",
		"must use tls", "encrypted connection", "secure connection",
	}
)

// rules is the table from a reply to its meaning. The first row that holds
// decides, so the order is part of it: what is about us comes before what is
// about the mailbox, for a text that is about both tells nothing about the
// mailbox; enhanced codes come before the bare words, and a bare 5xx without
// any word for it is a refusal that could mean anything.
var rules = []rule{
	// Any stage: the host hangs up (RFC 5321 §3.8), or wants TLS (RFC 3207 §4).
	{stages: anyStage, codes: "421", words: saysBlocked, finding: finding{Unknown, Blocked, hangUp}},
	{stages: anyStage, codes: "421", finding: finding{Unknown, Temporary, hangUp}},
	{stages: atMail | atRcpt, codes: "530 4 5", words: saysTLS, finding: finding{Unknown, NeedsTLS, settle}},
	{stages: atMail | atRcpt, codes: "5 4", enhanced: "x.7.10", finding: finding{Unknown, NeedsTLS, settle}},

	// Before MAIL: all of it is about us.
	{stages: atConnect | atHello, codes: "4", words: saysBlocked, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atConnect | atHello, codes: "4", finding: finding{Unknown, Temporary, nextSession}},
	{stages: atConnect | atHello, codes: "5", words: saysTooFast, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atConnect | atHello, codes: "5", finding: finding{Unknown, Blocked, settle}},

	// MAIL: about us or our sender.
	{stages: atMail, codes: "2", finding: finding{Valid, Accepted, settle}},
	{stages: atMail, codes: "4", words: saysGreylisted, finding: finding{Unknown, Greylisted, settle}},
	{stages: atMail, codes: "4 5", words: saysTooFast, finding: finding{Unknown, Temporary, nextSession}},
	{stages: atMail, codes: "4", words: saysBlocked, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atMail, codes: "4", finding: finding{Unknown, Temporary, nextSession}},
	{stages: atMail, codes: "503", finding: finding{Unknown, ProtocolError, nextSession}},
	{stages: atMail, codes: "5", words: saysSender, finding: finding{Unknown, SenderRefused, nextSession}},
	{stages: atMail, codes: "5", enhanced: "5.1.7 5.1.8", finding: finding{Unknown, SenderRefused, nextSession}},
	{stages: atMail, codes: "5", words: saysBlocked, finding: finding{Unknown, Blocked, nextSession}},
	{stages: atMail, codes: "5", finding: finding{Unknown, SenderRefused, nextSession}},

	// RCPT: accepted (RFC 5321 §4.3.2 allows these two).
	{stages: atRcpt, codes: "250 251", finding: finding{Valid, Accepted, settle}},

	// RCPT: the transaction is full. The words count more than the code, as
	// servers send 450, 451, 452, 550 and 552 for it.
	{stages: atRcpt, codes: "4 5", enhanced: "x.5.3", finding: finding{Unknown, Policy, nextTransaction}},
	{stages: atRcpt, codes: "4 5", words: saysTooManyRecipients, finding: finding{Unknown, Policy, nextTransaction}},

	// RCPT: a mailbox that exists and may not get more just now.
	{stages: atRcpt, codes: "4 5", words: []string{"receiving mail at a rate*", "receiving mail too quickly"}, finding: finding{Unknown, Temporary, settle}},

	// RCPT: Exchange Online's word for a mailbox its directory does not have.
	{stages: atRcpt, codes: "550", enhanced: "5.4.1", words: []string{"recipient address rejected access denied"}, finding: finding{Invalid, NoSuchUser, settle}},

	// RCPT: greylisting, by name.
	{stages: atRcpt, codes: "4", words: saysGreylisted, finding: finding{Unknown, Greylisted, putOff}},

	// RCPT: about us, whatever else is said.
	{stages: atRcpt, codes: "4 5", words: saysTooFast, finding: finding{Unknown, Temporary, nextSession}},
	{stages: atRcpt, codes: "4 5", enhanced: "x.1.7 x.1.8", finding: finding{Unknown, SenderRefused, settle}},
	{stages: atRcpt, codes: "4 5", words: saysSender, finding: finding{Unknown, SenderRefused, settle}},
	{stages: atRcpt, codes: "4 5", words: saysBlocked, finding: finding{Unknown, Blocked, nextSession}},

	// RCPT: the mailbox is full. It exists, and the host says so about it.
	{stages: atRcpt, codes: "452 552 422 450 451 550 554", enhanced: "x.2.2", finding: finding{Risky, MailboxFull, settle}},
	{stages: atRcpt, codes: "4 5", enhanced: "x.7.*", words: saysFull, finding: finding{Unknown, Policy, settle}},
	{stages: atRcpt, codes: "452 552 422 450 451 550 554", words: saysFull, finding: finding{Risky, MailboxFull, settle}},

	// RCPT, permanent: the code and the words say the same.
	{stages: atRcpt, codes: "550 551 553 554", enhanced: "5.1.1 5.1.10", words: saysNoSuchUser, finding: finding{Invalid, NoSuchUser, settle}},
	{stages: atRcpt, codes: "551", words: []string{"user not local please try*"}, finding: finding{Invalid, NoSuchUser, settle}}, // RFC 5321 §3.4
	{stages: atRcpt, codes: "5", words: saysRelay, finding: finding{Unknown, Policy, settle}},
	{stages: atRcpt, codes: "5", words: saysPolicy, finding: finding{Unknown, Policy, settle}},

	// RCPT, permanent: the enhanced code alone.
	{stages: atRcpt, codes: "550 551 553 554", enhanced: "5.1.1 5.1.6 5.1.10", words: saysDisabled, finding: finding{Invalid, MailboxDisabled, settle}},
	{stages: atRcpt, codes: "550 551 553 554", enhanced: "5.1.1 5.1.6 5.1.10", finding: finding{Invalid, NoSuchUser, settle}},
	{stages: atRcpt, codes: "550 551 553 554", enhanced: "5.2.1", words: saysNoSuchUser, finding: finding{Invalid, NoSuchUser, settle}},
	{stages: atRcpt, codes: "550 551 553 554", enhanced: "5.2.1", finding: finding{Invalid, MailboxDisabled, settle}},
	{stages: atRcpt, codes: "5", enhanced: "5.7.*", finding: finding{Unknown, Policy, settle}},

	// RCPT, permanent: the words alone.
	{stages: atRcpt, codes: "550 551 553 554", words: saysDisabled, finding: finding{Invalid, MailboxDisabled, settle}},
	{stages: atRcpt, codes: "550 551 553 554", words: saysNoSuchUser, finding: finding{Invalid, NoSuchUser, settle}},
	{stages: atRcpt, codes: "503", finding: finding{Unknown, ProtocolError, nextSession}},
	{stages: atRcpt, codes: "5", wordless: true, finding: finding{Unknown, Policy, settle}},
	{stages: atRcpt, codes: "550 551 553 554", finding: finding{Unknown, Policy, unclear}},
	{stages: atRcpt, codes: "5", finding: finding{Unknown, Policy, settle}},

	// RCPT, temporary: 452 is the transaction's limit where others were taken
	// before (RFC 5321 §4.5.3.1.10); the session knows. Trouble of the host's
	// own (X.3, X.4) is temporary; the rest is how greylisting looks.
	{stages: atRcpt, codes: "452", enhanced: "4.3.*", finding: finding{Unknown, Temporary, settle}},
	{stages: atRcpt, codes: "452", words: []string{"system storage", "disk"}, finding: finding{Unknown, Temporary, settle}},
	{stages: atRcpt, codes: "452", finding: finding{Unknown, Temporary, nextTransaction}},
	{stages: atRcpt, codes: "4", enhanced: "4.3.* 4.4.*", finding: finding{Unknown, Temporary, unclear}},
	{stages: atRcpt, codes: "4", enhanced: "4.1.1", words: saysNoSuchUser, finding: finding{Unknown, Greylisted, softUnknown}},
	{stages: atRcpt, codes: "450 451", finding: finding{Unknown, Greylisted, unclear}},
	{stages: atRcpt, codes: "4", finding: finding{Unknown, Temporary, unclear}},
}
