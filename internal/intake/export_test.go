package intake

import "time"

// Deafen lets an intake hear no announcements.
func (in *Intake) Deafen() {
	in.announced.close()
	in.announced.again = time.Now().Add(time.Hour)
}
