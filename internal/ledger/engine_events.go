package ledger

import (
	"strconv"
	"time"

	"holdfast/internal/outbox"
)

// topicOf is the event that a posting of an entry makes, if any. A hold, a capture
// and a release belong to an order, which has events of its own, and a period that
// is renewed has its credits.reset.
func topicOf(k kind, m move) string {
	switch m {
	case moveGrant, moveExpire:
		if k == kindRenew {
			return ""
		}
		if m == moveGrant {
			return outbox.CreditsGranted
		}
		return outbox.CreditsExpired
	case moveStart:
		return outbox.CreditsGranted
	case moveLapse:
		return outbox.CreditsExpired
	case moveVoid, moveWithdraw:
		return outbox.CreditsVoided
	case moveReverse, moveRestore:
		return outbox.CreditsReversed
	case moveHold, moveCapture, moveCharge, moveRelease, moveReinstate, moveRollover, moveSchedule, moveCarry, moveAlert, moveLine:
	}
	return ""
}

// announce writes the events of an entry: one for each grant that gave credits
// or was voided, otherwise one for each topic, pool and type, however many
// grants it moved credits of.
func (b *books) announce(e *entry) {
	var moved []movedPayload
	for i := range e.postings {
		p := &e.postings[i]
		topic := topicOf(e.kind, p.Move)
		if topic == "" {
			continue
		}
		m := b.movedOf(&moved, topic, p)
		m.Amount += p.Amount
		m.Balance = p.Balance
	}
	for i := range moved {
		m := &moved[i]
		b.changes.events = append(b.changes.events, outbox.Event{
			Org: b.owner, Topic: m.topic, Key: m.key(e.seq), Data: m.json(b.owner, e),
		})
	}
}

// movedPayload is the body of an event about credits that moved.
type movedPayload struct {
	topic   string
	Pool    string
	Type    string
	Amount  int64
	Balance int64
	Grant   int64  // of a grant or a void
	Terms   *terms // of a grant
}

// movedBy is the event about a posting, as far as its key goes.
func movedBy(topic string, p *posting) movedPayload {
	m := movedPayload{topic: topic, Pool: p.Pool, Type: p.Type}
	if topic == outbox.CreditsGranted || topic == outbox.CreditsVoided {
		m.Grant = p.Grant
	}
	return m
}

// movedOf finds or begins the event that a posting belongs to.
func (b *books) movedOf(list *[]movedPayload, topic string, p *posting) *movedPayload {
	m := movedBy(topic, p)
	switch topic {
	case outbox.CreditsGranted:
		m.Terms = b.lots[p.Grant].terms()
	case outbox.CreditsVoided:
	default:
		for i := range *list {
			if m := &(*list)[i]; m.topic == topic && m.Pool == p.Pool && m.Type == p.Type {
				return m
			}
		}
	}
	*list = append(*list, m)
	return &(*list)[len(*list)-1]
}

// key tells the events of an entry apart.
func (m *movedPayload) key(seq int64) string {
	if m.Grant != 0 {
		return outbox.Key(m.topic, seq, m.Grant)
	}
	return outbox.Key(m.topic, seq, m.Pool, m.Type)
}

func (m *movedPayload) json(owner string, e *entry) []byte {
	b := append([]byte(nil), `{"org":`...)
	b = appendString(b, owner)
	b = append(b, `,"pool":`...)
	b = appendString(b, m.Pool)
	b = append(b, `,"type":`...)
	b = appendString(b, m.Type)
	b = append(b, `,"amount":`...)
	b = strconv.AppendInt(b, m.Amount, 10)
	b = append(b, `,"balance":`...)
	b = strconv.AppendInt(b, m.Balance, 10)
	b = append(b, `,"entry":`...)
	b = strconv.AppendInt(b, e.seq, 10)
	b = appendIntField(b, `,"grant_id":`, m.Grant)
	if t := m.Terms; t != nil {
		b = appendStringField(b, `,"source":`, string(t.Source))
		b = appendIntField(b, `,"priority":`, int64(t.Priority))
		b = appendTimeField(b, `,"starts_at":`, t.StartsAt)
		b = appendTimeField(b, `,"expires_at":`, t.ExpiresAt)
	}
	b = appendStringField(b, `,"order_id":`, e.memo.OrderID)
	b = appendStringField(b, `,"member":`, e.memo.Member)
	b = appendStringField(b, `,"action":`, e.memo.Action)
	b = appendStringField(b, `,"reason":`, e.memo.Reason)
	b = append(append(b, `,"at":"`...), e.at.AppendFormat(nil, time.RFC3339Nano)...)
	return append(b, `"}`...)
}
