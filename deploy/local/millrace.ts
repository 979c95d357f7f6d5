import { runCommand } from "./commandLine.ts";
import { alertsAck } from "./commands/alerts/acknowledge.ts";
import { alertsList } from "./commands/alerts/list.ts";
import { alertsMute } from "./commands/alerts/mute.ts";
import { alertsShow } from "./commands/alerts/show.ts";
import { apply } from "./commands/apply.ts";
import { apps } from "./commands/apps.ts";
import { chooseCommand } from "./commands/chooseCommand.ts";
import type { Command } from "./commands/command.ts";
import { datasetBuild } from "./commands/dataset/build.ts";
import { datasetDescribe } from "./commands/dataset/describe.ts";
import { datasetDiff } from "./commands/dataset/diff.ts";
import { datasetExport } from "./commands/dataset/export.ts";
import { datasetList } from "./commands/dataset/list.ts";
import { datasetReport } from "./commands/dataset/report.ts";
import { count } from "./commands/events/count.ts";
import { infer } from "./commands/events/infer.ts";
import { quality } from "./commands/events/quality.ts";
import { rejected } from "./commands/events/rejected.ts";
import { replay } from "./commands/events/replay.ts";
import { show } from "./commands/events/show.ts";
import { retrain } from "./commands/feedback/retrain.ts";
import { retrainingList } from "./commands/feedback/retrainingList.ts";
import { reviewsAnswer } from "./commands/feedback/reviewsAnswer.ts";
import { reviewsList } from "./commands/feedback/reviewsList.ts";
import { jobsCancel } from "./commands/jobs/cancel.ts";
import { jobsList } from "./commands/jobs/list.ts";
import { jobsStart } from "./commands/jobs/start.ts";
import { modelsAdvance } from "./commands/models/advance.ts";
import { modelsCard } from "./commands/models/card.ts";
import { modelsCompare } from "./commands/models/compare.ts";
import { modelsDelete } from "./commands/models/delete.ts";
import { modelsDownload } from "./commands/models/download.ts";
import { modelsList } from "./commands/models/list.ts";
import { modelsPromote } from "./commands/models/promote.ts";
import { modelsRetire } from "./commands/models/retire.ts";
import { modelsRollBack } from "./commands/models/rollBack.ts";
import { modelsShow } from "./commands/models/show.ts";
import { modelsUpload } from "./commands/models/upload.ts";
import { status } from "./commands/status.ts";

/** Every command of `npm run millrace`, one file each in `commands/`. */
const COMMANDS: readonly Command[] = [
  apply,
  apps,
  status,
  rejected,
  show,
  replay,
  count,
  quality,
  infer,
  datasetBuild,
  datasetList,
  datasetDescribe,
  datasetDiff,
  datasetReport,
  datasetExport,
  modelsList,
  modelsShow,
  modelsCard,
  modelsCompare,
  modelsPromote,
  modelsAdvance,
  modelsRollBack,
  modelsRetire,
  modelsUpload,
  modelsDownload,
  modelsDelete,
  jobsList,
  jobsStart,
  jobsCancel,
  retrainingList,
  retrain,
  reviewsList,
  reviewsAnswer,
  alertsList,
  alertsShow,
  alertsAck,
  alertsMute,
];

await runCommand(async () => {
  const choice = chooseCommand(COMMANDS, process.argv.slice(2));
  if ("command" in choice) return choice.command.run(choice.commandArguments);
  console.log(choice.text);
  return 0;
});
