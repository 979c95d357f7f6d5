import { type App, type Serving, Task, TaskSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { enumName } from "./enumName.ts";
import { listNames, type Problems, show } from "./problems.ts";

/** Checks what depends on the task: the ranges of what is decided by, the constant, and what only probabilities can be asked for. */
export function checkServedTask(app: App, problems: Problems): void {
  const { serving, model } = app;
  if (serving === undefined || model === undefined) return;
  if (model.task === Task.MULTICLASS) checkClasses(serving, model.classes, problems);
  else {
    checkNumbers(serving, model.task, problems);
    if (serving.constantClass !== "") {
      const task = enumName(TaskSchema, model.task);
      problems.add("serving.constant_class", "does_not_fit", `${task} has no classes; give serving.constant instead`);
    }
  }
  checkProbabilityOnly(app, model.task, problems);
}

/** BINARY decides by probabilities, REGRESSION by any number. */
function checkNumbers({ constant, decisions, abstain }: Serving, task: Task, problems: Problems): void {
  if (task === Task.REGRESSION) {
    decisions.forEach(({ name, cost }, index) => {
      if (cost === undefined) return;
      const description = `REGRESSION decides by thresholds (at_least); a cost for true and false says nothing of ${name}`;
      problems.add(`serving.decisions[${index}].cost`, "does_not_fit", description);
    });
    return;
  }
  const probability = (path: string, value: number): void => {
    if (value >= 0 && value <= 1) return;
    problems.add(path, "out_of_range", `is a probability: it must be from 0 to 1, not ${value}`);
  };
  probability("serving.constant", constant);
  decisions.forEach(({ atLeast }, index) => probability(`serving.decisions[${index}].at_least`, atLeast));
  if (abstain === undefined) return;
  probability("serving.abstain.from", abstain.from);
  probability("serving.abstain.to", abstain.to);
}

function checkClasses(serving: Serving, classes: readonly string[], problems: Problems): void {
  const { constant, constantClass, decisions, abstain } = serving;
  const which = `one of model.classes (${listNames(classes)})`;
  if (constant !== 0) {
    const description = `MULTICLASS answers a class, not ${constant}; give serving.constant_class: ${which}`;
    problems.add("serving.constant", "does_not_fit", description);
  }
  if (constantClass === "") {
    const description = `what is answered when no model was ever trained? Name ${which}`;
    problems.add("serving.constant_class", "missing", description);
  } else if (!classes.includes(constantClass)) {
    problems.add("serving.constant_class", "unknown_class", `must be ${which}, not ${show(constantClass)}`);
  }
  if (decisions.length > 0) {
    const description = "the decision of MULTICLASS is the predicted class; leave them out";
    problems.add("serving.decisions", "does_not_fit", description);
  }
  if (abstain === undefined) return;
  if (abstain.from !== 0) {
    const description = `MULTICLASS abstains below serving.abstain.to, from 0 on; leave out ${abstain.from}`;
    problems.add("serving.abstain.from", "does_not_fit", description);
  }
  if (!(abstain.to > 0 && abstain.to <= 1)) {
    const description = `is a probability of the predicted class: it must be above 0, at most 1, not ${abstain.to}`;
    problems.add("serving.abstain.to", "out_of_range", description);
  }
}

/** What goes by a probability of yes or no. */
function checkProbabilityOnly({ model, monitoring, label }: App, task: Task, problems: Problems): void {
  if (task === Task.BINARY || task === Task.UNSPECIFIED) return;
  const title = enumName(TaskSchema, task);
  for (const step of ["shadow", "canary", "probation"] as const) {
    if (model?.promotion?.[step] === undefined) continue;
    const description = `shadows, canaries and probations are compared by probabilities of yes or no, which ${title} does not have; leave it out`;
    problems.add(`model.promotion.${step}`, "does_not_fit", description);
  }
  if (monitoring?.maxLogLossIncrease !== undefined && task === Task.REGRESSION) {
    problems.add("monitoring.max_log_loss_increase", "does_not_fit", "REGRESSION has no log loss; leave it out");
  }
  if (label?.review !== undefined && task === Task.REGRESSION) {
    const description = "REGRESSION has no probabilities of which some are uncertain; leave it out";
    problems.add("label.review", "does_not_fit", description);
  }
}
