package maillab

import "slices"

// oddRefusals is the part of the fault table that is about words: refusals that
// are not about the mailbox, and refusals that are and do not look like it.
func oddRefusals() []OddHost {
	return slices.Concat(oddProbes(), oddTails())
}

// unclear is the truth about missing mailboxes whose host says so in words that
// nobody can know.
var unclear = Truth{Verdict: "unknown", Reason: "policy", Also: []string{"invalid"}}

// oddProbes are catch-all hosts that refuse what does not read like a mailbox.
func oddProbes() (list []OddHost) {
	for _, p := range []struct{ name, say string }{
		{"5.7.1", "550 5.7.1 Access denied"},
		{"5.1.3", "501 5.1.3 Bad recipient address syntax"},
		{"5.3.4", "552 5.3.4 Message size exceeds fixed limit"},
		{"5.5.2", "500 5.5.2 Syntax error, command unrecognized"},
		{"bare", "550"},
		{"full", "552 5.2.2 <{rcpt}>: Mailbox full"},
		{"relay", "554 5.7.1 <{rcpt}>: Relay access denied"},
		{"blocked", "550 5.7.606 Access denied, banned sending IP [{client}]"},
		{"spam", "554 5.7.1 Message rejected as spam"},
		{"quota", "450 4.7.1 You have exceeded your sending quota"},
	} {
		list = append(list, OddHost{
			Name: "probe-" + p.name, Behaviour: "Accepts every name that a person may have, and answers all others with " + p.say + ".", twin: true,
			Patience: "a name that a person may have, for the probe", everyone: true, manner: manner{rules: []rule{{at: atRcpt, who: strange, say: p.say}}},
		}.both(catchAllTruth))
	}
	return list
}

// oddTails are hosts that have enough of a session, in words of their own.
func oddTails() []OddHost {
	after := func(in span, k int, say string) manner {
		return manner{rules: []rule{{at: atRcpt, in: in, from: k + 1, say: say}}}
	}
	patient := "asking the rest in other sessions"
	return []OddHost{
		{
			Name: "tail-550", Behaviour: "Answers two recipients a session and says 550 Ip frequency limited to the rest.", twin: true, Patience: patient,
			manner: after(inSession, 2, "550 Ip frequency limited. http://help.mail.test/why"),
		},
		{
			Name: "tail-550-one", Behaviour: "Answers one recipient a session and says 550 Requested action not taken to the rest.", twin: true, Patience: patient,
			manner: after(inSession, 1, "550 Requested action not taken"),
		},
		{
			Name: "tail-french", Behaviour: "Answers two recipients a session and refuses the rest in French.", twin: true, Patience: patient,
			manner: after(inSession, 2, "550 Service refuse. Veuillez essayer plus tard."),
		},
		{
			Name: "tail-450", Behaviour: "Answers three recipients a session and says 450 to the rest.", twin: true, Patience: patient,
			manner: after(inSession, 3, "450 4.2.0 <{rcpt}>: not now"),
		},
		{
			Name: "tail-451-system", Behaviour: "Answers two recipients a session and says 451 4.3.0 to the rest.", twin: true, Patience: patient,
			manner: after(inSession, 2, "451 4.3.0 Resources are short"),
		},
		{
			Name: "tail-5.7.1", Behaviour: "Answers two recipients a session and says 554 5.7.1 to the rest.", twin: true, Patience: patient,
			manner: after(inSession, 2, "554 5.7.1 Message rejected: recipient count"),
		},
		{
			Name: "tail-same-words", Behaviour: "Answers three recipients a session and says to the rest what it says to unknown ones: 550 rejected.", twin: true,
			Patience: patient, Missing: unclear,
			manner: manner{
				voice: missingSays("550 rejected").voice,
				rules: []rule{{at: atRcpt, from: 4, say: "550 rejected"}},
			},
		},
		OddHost{
			Name: "tail-catch-all", Behaviour: "Accepts one recipient a session and says 550 5.5.0 to the rest.", twin: true, Patience: patient,
			everyone: true, manner: after(inSession, 1, "550 5.5.0 Only 1 RCPT please"),
		}.both(catchAllTruth),
		OddHost{
			Name: "tail-catch-all-policy", Behaviour: "Accepts two recipients a session and says 554 5.7.1 to the rest.", twin: true, Patience: patient,
			everyone: true, manner: after(inSession, 2, "554 5.7.1 Message rejected: recipient count"),
		}.both(catchAllTruth),
		OddHost{
			Name: "tail-catch-all-450", Behaviour: "Accepts three recipients a session and says 450 to the rest.", twin: true, Patience: patient,
			everyone: true, manner: after(inSession, 3, "450 4.2.0 not now"),
		}.both(catchAllTruth),
		OddHost{
			Name: "tail-ever", Behaviour: "Accepts four recipients of a client and refuses all others for ever.", twin: true, Patience: "a new address of the client",
			everyone: true, manner: after(ofClient, 4, "550 Requested action not taken"),
		}.both(catchAllTruth),
		{
			Name: "temporary-unknown-451", Behaviour: "Says 451 4.3.0 Temporary lookup failure to unknown recipients, always.", twin: true,
			Patience: "seeing that the probe gets what others get",
			Missing:  Truth{Verdict: "unknown", Reason: "temporary", Also: []string{"invalid"}},
			manner:   missingSays("451 4.3.0 <{rcpt}>: Temporary lookup failure"),
		},
		{
			Name: "temporary-unknown-450", Behaviour: "Says 450 to unknown recipients, always.", twin: true,
			Patience: "coming back after the time that greylisting takes",
			Missing:  Truth{Verdict: "unknown", Reason: "temporary", Also: []string{"invalid"}},
			manner:   missingSays("450 4.2.0 <{rcpt}>: not now"),
		},
		{
			Name: "unlisted-words", Behaviour: "Says of unknown recipients what no table knows: 550 Kein Anschluss unter dieser Nummer.", twin: true,
			Missing: unclear,
			manner:  missingSays("550 Kein Anschluss unter dieser Nummer"),
		},
		{
			Name: "unlisted-words-id", Behaviour: "Says of unknown recipients what no table knows, with another number each time.",
			Missing: unclear,
			manner:  missingSays("550 Kein Anschluss unter dieser Nummer ({host} 4711-{rcpt})"),
		},
	}
}
