import { mount } from 'svelte';
import '../styles/base.css';
import Publish from './Publish.svelte';

const target = document.getElementById('app');
if (target) mount(Publish, { target });
