package activities

import (
	"context"

	"holdfast/internal/verify"
)

// Phones finds out whether telephone numbers can be dialled. Each index of
// numbers is reported once, never two at a time; region (ISO 3166-1 alpha-2)
// says whose plan a number without a + belongs to, and may be empty. The only
// error is the context's.
type Phones interface {
	Check(ctx context.Context, numbers []string, region string, each func(i int, r verify.PhoneResult)) error
}

// PhonePatterns are Phones that compare a number with the numbering plan of its
// country. Nobody is asked.
type PhonePatterns struct{}

// Check answers for every number, see Phones.
func (PhonePatterns) Check(ctx context.Context, numbers []string, region string, each func(i int, r verify.PhoneResult)) error {
	for i, number := range numbers {
		if err := ctx.Err(); err != nil {
			return err
		}
		each(i, verify.CheckPhone(number, region))
	}
	return nil
}
