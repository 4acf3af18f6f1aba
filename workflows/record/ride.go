package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/intake"
	"holdfast/internal/order"
)

// rides records rides: orders that came while another one was being started. Of
// the second ones something is refunded later, so that some get workflows of
// their own.
func (r *recorder) rides(ctx context.Context) error {
	for _, ride := range []struct {
		name, org, column string
		of                func(value string) intake.Submission
	}{
		{"ride-carried-out", "beta", "email", func(value string) intake.Submission {
			return intake.Submission{Request: order.Request{Kind: order.Verify}, Emails: []string{value}}
		}},
		{"ride-announced", "beta", "email", func(value string) intake.Submission {
			return intake.Submission{Request: order.Request{Kind: order.Verify}, Emails: []string{value}}
		}},
		{"ride-handed-over", "gamma", "id", func(value string) intake.Submission {
			return intake.Submission{Request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.EmailField}}, LeadIDs: []string{value}}
		}},
	} {
		if !r.wants(ride.name) {
			continue
		}
		values, err := r.column(ctx, ride.column, 30)
		if err != nil {
			return err
		}
		var submitting errgroup.Group
		for i, value := range values {
			submitting.Go(func() error {
				sub := ride.of(value)
				sub.Org, sub.Key, sub.Together = ride.org, fmt.Sprint("ride-", i), true
				_, err := r.Intake.Submit(ctx, sub)
				return err
			})
		}
		if err := submitting.Wait(); err != nil {
			return err
		}
		var id string
		err = r.Pool.QueryRow(ctx, `
			SELECT ride_id FROM order_ride WHERE ride_id <> order_id AND org = $1 GROUP BY 1 ORDER BY count(*) DESC LIMIT 1`, ride.org).Scan(&id)
		if err != nil {
			return fmt.Errorf("no orders rode together: %w", err)
		}
		if err := r.save(ctx, id, "", ride.name); err != nil {
			return err
		}
	}
	return nil
}
