package plan

// Actions are what a plan can sell.
var Actions = actions
