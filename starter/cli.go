package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/build"
)

// app is what every command has at hand.
type app struct {
	*screen
	stdin io.Reader
}

// cli is the tree of commands and what is known about the one that runs.
type cli struct {
	root    *cobra.Command
	started bool // the command line was understood and its command runs
}

func newCLI(stdin io.Reader, stdout, stderr io.Writer) *cli {
	a := &app{screen: newScreen(stdout, stderr), stdin: stdin}
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Orders for contact data that charge only what was delivered valid",
		Long: `Holdfast processes orders for contact data. An order holds credits, verifies
its contacts, charges only what was delivered valid and gives the rest back,
exactly once, even when programs crash in between.

Start with "demo", which needs nothing but this program, or run "dev" in one
terminal and the other commands in a second one.`,
		Example: examples(
			"holdfast demo",
			"holdfast dev --leads 10000"),
		Version:           build.Read().String(),
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: program()},
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetVersionTemplate("holdfast version {{.Version}}\n")
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print the result as JSON on the standard output")
	root.AddGroup(
		&cobra.Group{ID: "stack", Title: "The stack:"},
		&cobra.Group{ID: "orders", Title: "Leads and orders:"},
		&cobra.Group{ID: "accounts", Title: "Accounts and credits:"},
	)
	add := func(groupID string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = groupID
			root.AddCommand(c)
		}
	}
	add("stack", a.demoCommand(), a.devCommand(), a.serveCommand(), a.codecServerCommand(), a.migrateCommand())
	add("orders", a.importCommand(), a.orderCommand(), a.verifyCommand(), a.suppressCommand(), a.forgetCommand())
	add("accounts", a.orgCommand(), a.memberCommand(), a.keyCommand(), a.loginLinkCommand(), a.planCommand(), a.creditsCommand(), a.scheduleCommand(), a.auditCommand(), a.reportCommand())

	c := &cli{root: root}
	c.noteStart(root)
	return c
}

// noteStart wraps every command so that an error before it runs can be told
// from one it met: the first is wrong usage.
func (c *cli) noteStart(cmd *cobra.Command) {
	if work := cmd.RunE; work != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.started = true
			return work(cmd, args)
		}
	}
	for _, child := range cmd.Commands() {
		c.noteStart(child)
	}
}

// execute runs one command line.
func (c *cli) execute(ctx context.Context, args []string) error {
	c.root.SetArgs(args)
	cmd, err := c.root.ExecuteContextC(ctx)
	if err != nil && !c.started {
		// cobra adds suggestions on lines of their own; they fit into the sentence.
		text := strings.ReplaceAll(err.Error(), "\n\nDid you mean this?\n\t", "; did you mean ")
		text = strings.ReplaceAll(strings.TrimSpace(text), "\n\t", " or ")
		return usagef("%s; see %s --help", text, cmd.CommandPath())
	}
	return err
}

// group makes a command that only holds others. Its example is theirs.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	var lines []string
	for _, child := range children {
		first, _, _ := strings.Cut(child.Example, "\n")
		lines = append(lines, first)
	}
	cmd := &cobra.Command{
		Use:                   use,
		Short:                 short,
		Example:               strings.Join(lines, "\n"),
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q under %q", args[0], cmd.Name())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(children...)
	return cmd
}

// examples lists command lines for a command's help as they can be copied.
func examples(lines ...string) string {
	for i, line := range lines {
		before, call, _ := strings.Cut(line, "holdfast ")
		lines[i] = "  " + before + program() + " " + call
	}
	return strings.Join(lines, "\n")
}

// oneArgument demands exactly one argument and says which one is missing.
func oneArgument(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 1:
			return nil
		case 0:
			return fmt.Errorf("%s is missing", what)
		default:
			return fmt.Errorf("there is more than %s: %q", what, args[1:])
		}
	}
}

// addOrgFlag adds the flag that names the organization a command is about.
func addOrgFlag(cmd *cobra.Command, org *string) {
	cmd.Flags().StringVar(org, "org", "", "organization")
	required(cmd, "org")
}

// required marks flags that a command cannot do without.
func required(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		cmd.Flags().Lookup(name).Annotations = map[string][]string{cobra.BashCompOneRequiredFlag: {"true"}}
	}
}
